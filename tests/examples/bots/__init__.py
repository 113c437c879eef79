"""Telegram bots that answer and forward incoming SMS."""
