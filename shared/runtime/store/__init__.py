"""Where the runtime's state rests: one port, PostgreSQL and memory behind it."""
