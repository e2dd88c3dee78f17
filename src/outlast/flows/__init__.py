"""Flows: several steps that stay coordinated over time. Programs, files, and the engine that runs both.

A program is a coroutine function that is run by replay: what each of its operations came to is on record before the
program sees it, so after a crash any worker can run it again from the top and is handed what is known.
"""
