// The same test as test_login_code.py, in a browser: npx playwright test
// Before it, run `smsapi-async sandbox --port 8099` and the application.
const { expect, test } = require("@playwright/test");

const app = process.env.APP_URL ?? "http://127.0.0.1:8000";
const sandbox = process.env.SANDBOX_API ?? "http://127.0.0.1:8099/api/v1";

test("a user logs in with the code of a message", async ({ page, request }) => {
  await page.goto(app);
  await page.getByLabel("Phone").fill("79031234567");
  await page.getByRole("button").click();
  // The request waits for the message, for at most ten seconds.
  const answer = await request.get(`${sandbox}/messages/latest?to=79031234567&wait=10`);
  const { code } = await answer.json();
  await page.getByLabel("Code").fill(code);
  await page.getByRole("button").click();
  await expect(page.getByText("Welcome")).toBeVisible();
});
