//! Keys of the master itself: `[master]`, `[change_hook]`, `[pb]`, `[sendchange]`, `[limits]`.

use super::{
    Key, SectionKeys, Type, optional, required,
    worker::{TOKEN, TOKEN_ENV, TOKEN_FILE},
};

/// Of a port that can speak TLS.
const PRIVATE_KEY: Key = optional(
    "key",
    Type::Path,
    "none",
    "A file with the private key of `certificate`, as PEM without a passphrase, relative to the configuration file.",
    "\"/etc/ironmaster/ci.key\"",
);

/// `[master]`.
pub static MASTER: SectionKeys = SectionKeys {
    header: "[master]",
    doc: "The master itself. All of it may be left out.",
    keys: &[
        optional(
            "title",
            Type::Text,
            "\"Ironmaster\"",
            "Shown at the top of each page.",
            "\"zlib builds\"",
        ),
        optional(
            "url",
            Type::Url,
            "`http://`, or `https://` if there is a `certificate`, and `listen`",
            "Where people find the master, as they type it. Links start with it.",
            "\"https://ci.example.org/\"",
        ),
        optional(
            "listen",
            Type::Address,
            "\"127.0.0.1:8010\"",
            "Where the master listens. `0.0.0.0:8010` is every address of the machine.",
            "\"0.0.0.0:8010\"",
        ),
        optional(
            "certificate",
            Type::Path,
            "none",
            "A file with the certificate for `listen`, as PEM, relative to the configuration file, followed by those of intermediate authorities. With it the port speaks HTTPS and nothing else, see [encryption](operating.md#encryption). A reload re-reads it.",
            "\"/etc/ironmaster/ci.pem\"",
        ),
        PRIVATE_KEY,
        optional(
            "state_dir",
            Type::Path,
            "\"state\"",
            "Directory of logs, tokens and the SQLite database, relative to the configuration file. One master at a time uses it.",
            "\"/var/lib/ironmaster\"",
        ),
        optional(
            "database",
            Type::Text,
            "\"sqlite\"",
            "Where history is kept: `sqlite` is a file in `state_dir`, an address is a database of a PostgreSQL server, see [operating](operating.md#postgresql). The address has no password in it.",
            "\"postgres://ironmaster@db.example.org/ironmaster\"",
        ),
        optional(
            "database_password_file",
            Type::Path,
            "none",
            "A file with the password for the PostgreSQL server, relative to the configuration file. White space at its end does not count.",
            "\"database.password\"",
        ),
        optional(
            "database_password_env",
            Type::Text,
            "none",
            "The name of an environment variable of the master that holds that password.",
            "\"IRONMASTER_DATABASE_PASSWORD\"",
        ),
        optional(
            "reading",
            Type::Choice(&["open", "login"]),
            "\"open\"",
            "Whether everybody may read builds and logs, or only people who have logged in. Controlling always needs a login. There is one login, the administrator's, so with `login` everybody who can read can also control.",
            "\"login\"",
        ),
        optional(
            "allowed_origins",
            Type::Texts,
            "[]",
            "Origins of other web sites whose pages may use the API with their user's login; `*` and `?` stand for any text and any character. The master's own pages always may.",
            "[\"https://status.example.org\"]",
        ),
        optional(
            "behind_proxy",
            Type::Bool,
            "false",
            "Whether all connections come through a reverse proxy. Then the last address in `X-Forwarded-For` counts as the client's, so nobody must be able to reach the port without the proxy.",
            "true",
        ),
        optional(
            "ui_dir",
            Type::Path,
            "the pages inside the program",
            "A directory with other pages, relative to the configuration file.",
            "\"pages\"",
        ),
        optional(
            "log_level",
            Type::Choice(&["error", "warn", "info", "debug", "trace"]),
            "\"info\"",
            "How much the master logs to its standard error. The environment variable `IRONMASTER_LOG` takes precedence.",
            "\"debug\"",
        ),
        optional(
            "lease",
            Type::Duration("1s", "1d"),
            "\"10m\"",
            "How long a worker that cannot reach the master lets commands run on before it kills them. A build is given to another worker only after that.",
            "\"30m\"",
        ),
        optional(
            "dead_after",
            Type::Duration("300ms", "1h"),
            "\"30s\"",
            "How long a connection to a worker may be silent before it counts as dead. Its builds go on; see `lease`.",
            "\"1m\"",
        ),
        optional(
            "heartbeat",
            Type::Duration("100ms", "10m"),
            "a third of `dead_after`",
            "How often a silent connection to a worker is probed; at most two fifths of `dead_after`.",
            "\"5s\"",
        ),
    ],
};

/// `[change_hook]`.
pub static CHANGE_HOOK: SectionKeys = SectionKeys {
    header: "[change_hook]",
    doc: "The generic change hook, `POST /change_hook/base`. Without a token, everybody who can reach the master can report changes.",
    keys: &[
        optional("enabled", Type::Bool, "true", "Whether the hook exists.", "false"),
        TOKEN,
        TOKEN_FILE,
        TOKEN_ENV,
    ],
};

/// `[pb]`.
pub static PB: SectionKeys = SectionKeys {
    header: "[pb]",
    doc: "The port for Perspective Broker, which Buildbot's own worker speaks unless it is told otherwise: see [workers of Buildbot](migrate/workers.md). Without this section there is none.",
    keys: &[
        required(
            "listen",
            Type::Address,
            "Where the master listens for it. Buildbot's usual port is 9989.",
            "\"0.0.0.0:9989\"",
        ),
        optional(
            "certificate",
            Type::Path,
            "none",
            "A file with the certificate for this port, as PEM, relative to the configuration file, followed by those of intermediate authorities. With it the port speaks TLS and nothing else: see [workers over TLS](migrate/workers.md#over-tls). A reload re-reads it.",
            "\"/etc/ironmaster/ci.pem\"",
        ),
        PRIVATE_KEY,
        optional(
            "plain_listen",
            Type::Address,
            "none",
            "A second address for it, without encryption, beside a `listen` with a certificate: for `buildbot sendchange` and `buildbot try`, and workers that know no TLS. Names and passwords are proven there without being sent, but what workers do can be read and changed on the way.",
            "\"127.0.0.1:9990\"",
        ),
    ],
};

/// `[sendchange]`.
pub static SENDCHANGE: SectionKeys = SectionKeys {
    header: "[sendchange]",
    doc: "Who may report changes with `buildbot sendchange`, which speaks Perspective Broker: the port is that of `[pb]`. Exactly one of `token`, `token_file` and `token_env` must be given; Buildbot's client says `changepw` unless it is told otherwise.",
    keys: &[
        optional(
            "user",
            Type::Text,
            "\"change\"",
            "The name to log in with. No worker may have it.",
            "\"committers\"",
        ),
        TOKEN,
        TOKEN_FILE,
        TOKEN_ENV,
    ],
};

/// `[limits]`.
pub static LIMITS: SectionKeys = SectionKeys {
    header: "[limits]",
    doc: "Bounds on what comes from outside, and on what is kept.",
    keys: &[
        optional(
            "request_size",
            Type::Size("1KiB", "1GiB"),
            "\"10MiB\"",
            "The largest body of an API request by somebody who is logged in, users of `try` schedulers included. Change hooks may send 1 MiB, or this if it is less; everybody else 64 KiB.",
            "\"1MiB\"",
        ),
        optional(
            "feed_events",
            Type::Integer(1000, 1_000_000_000, "events"),
            "200000",
            "How many of the newest events the database keeps. Older ones are removed; builds, changes and logs are not touched.",
            "1000000",
        ),
    ],
};
