<?php
// The same test as test_login_code.py: php login_code.php
// Before it, run `smsapi-async sandbox --port 8099` and the application.
$app = getenv('APP_URL') ?: 'http://127.0.0.1:8000';
$sandbox = getenv('SANDBOX_API') ?: 'http://127.0.0.1:8099/api/v1';

function post(string $url, string $value): string {
    $form = ['method' => 'POST', 'header' => 'Content-Type: application/x-www-form-urlencoded'];
    $form['content'] = http_build_query(['value' => $value]);
    return file_get_contents($url, false, stream_context_create(['http' => $form]));
}

post("$app/code", '79161234567');
// The request waits for the message, for at most ten seconds.
$message = json_decode(file_get_contents("$sandbox/messages/latest?to=79161234567&wait=10"), true);
$page = post("$app/login", $message['code']);
if (!str_contains($page, 'Welcome')) {
    fwrite(STDERR, "the login failed\n");
    exit(1);
}
echo "logged in with the code {$message['code']}\n";
