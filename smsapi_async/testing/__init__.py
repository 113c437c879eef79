"""The pytest plugin of this package: the fixture `sms_sandbox`, and a guard against real sends in tests.

pytest loads the plugin by itself. The docstring of `smsapi_async.testing.plugin` describes the plugin.
"""
