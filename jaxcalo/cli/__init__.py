"""The command line: one short file a verb. Only here is anything printed."""
