//! SQLite: schema, migrations, row operations, outbox, queries.
