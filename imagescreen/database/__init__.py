"""Tables, migrations, sessions, the change feed and the stored picture files."""
