"""An imitation of Telegram's Bot API on loopback, for the tests of the bots."""

import json
import sys
import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TOKEN = "4242:AAbbCCddEEffGGhhIIjjKKllMMnnOOppQQr"
CHAT, STRANGER = 1001, 2002


class BotApi(ThreadingHTTPServer):
    """A server that knows the methods which a bot with polling calls.

    Attributes:
        sent: the text of each message that the bot sent to a chat, as pairs of the chat and the text.
        polls: the number of requests for commands so far.
        failures: the number of requests to send a message that the server refuses before it accepts one.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.sent: list[tuple[int, str]] = []
        self.polls = 0
        self.failures = 0
        self._updates: list[dict[str, Any]] = []
        self._changed = threading.Condition()

    def write(self, text: str, chat: int = CHAT) -> None:
        """Let a person write a command to the bot."""
        with self._changed:
            sender = {"id": chat, "is_bot": False, "first_name": "Ann"}
            entities = [{"type": "bot_command", "offset": 0, "length": len(text)}]
            message = {"message_id": 1, "date": 1767225600, "chat": {"id": chat, "type": "private"}}
            message |= {"from": sender, "text": text, "entities": entities}
            self._updates.append({"update_id": len(self._updates) + 1, "message": message})
            self._changed.notify_all()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Report each error, except the end of a bot."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)

    def wait_for(self, count: int, timeout: float = 30) -> list[str]:
        """Wait until the bot has sent this number of messages to the chat, and return their texts."""
        with self._changed:
            is_there = self._changed.wait_for(lambda: len(self._texts()) >= count, timeout)
            assert is_there, self._texts()
            return self._texts()

    def _texts(self) -> list[str]:
        return [text for chat, text in self.sent if chat == CHAT]

    def answer(self, method: str, form: dict[str, str]) -> tuple[int, object]:
        """Return the HTTP status and the result of a method."""
        match method.lower():
            case "getme":
                return 200, {"id": 4242, "is_bot": True, "first_name": "Bot", "username": "test_bot"}
            case "getupdates":
                return 200, self._after(int(form.get("offset", "0")))
            case "sendmessage":
                return self._accept(int(form["chat_id"]), form["text"])
        return 200, True

    def _after(self, offset: int) -> list[dict[str, Any]]:
        with self._changed:
            self.polls += 1
            # Telegram waits for the timeout of the request. A bot that stops should not wait for the server.
            self._changed.wait_for(lambda: len(self._updates) >= max(offset, 1), 0.2)
            return [update for update in self._updates if update["update_id"] >= offset]

    def _accept(self, chat: int, text: str) -> tuple[int, object]:
        with self._changed:
            if self.failures:
                self.failures -= 1
                return 502, "Bad Gateway"
            self.sent.append((chat, text))
            self._changed.notify_all()
            kind = {"id": chat, "type": "private"}
            return 200, {"message_id": len(self.sent), "date": 1767225600, "chat": kind, "text": text}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: BotApi

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", "0"))).decode()
        _, token, method = self.path.split("/")
        assert token == f"bot{TOKEN}"
        status, result = self.server.answer(method, dict(urllib.parse.parse_qsl(body)))
        key = "result" if status == 200 else "description"
        content = json.dumps({"ok": status == 200, key: result, "error_code": status}).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Write no log."""
