"""The page of the sandbox and the control API below `/api/v1`.

`smsapi_async.sandbox.web.mount` connects both to the server of a sandbox. The other modules are imported with
the first request, so that a test without the page does not pay for them.
"""
