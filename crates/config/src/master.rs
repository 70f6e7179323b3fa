//! The sections `[master]`, `[change_hook]`, `[pb]`, `[sendchange]` and `[limits]`.

use std::net::SocketAddr;

use ironmaster_model::Duration;

use crate::{
    checker::{Checker, Section, Text},
    database::{self, DatabaseSettings},
    keys::{self, SectionKeys},
    settings::{ChangeHookSettings, Limits, LogLevel, PbSettings, Reading, SendchangeSettings, Settings},
    tls, token, units,
};

const HEARTBEAT: Duration = Duration::from_secs(10);
const DEAD_AFTER: Duration = Duration::from_secs(30);
const LEASE: Duration = Duration::from_secs(600);
const REQUEST_BYTES: u64 = 10 << 20;
const FEED_EVENTS: u64 = 200_000;

/// Reads all settings.
pub(crate) fn read(checker: &mut Checker<'_>, top: &Section<'_>) -> Settings {
    let mut settings = Settings {
        title: "Ironmaster".to_owned(),
        url: String::new(),
        listen: SocketAddr::from(([127, 0, 0, 1], 8010)),
        tls: None,
        database: DatabaseSettings::Sqlite,
        state_dir: checker.base_dir.join("state"),
        reading: Reading::Open,
        allowed_origins: Vec::new(),
        behind_proxy: false,
        ui_dir: None,
        log_level: LogLevel::Info,
        lease: LEASE,
        heartbeat: HEARTBEAT,
        dead_after: DEAD_AFTER,
        pb: None,
        sendchange: None,
        change_hook: ChangeHookSettings {
            enabled: true,
            token_sha256: None,
        },
        limits: Limits {
            request_bytes_max: REQUEST_BYTES,
            feed_events: FEED_EVENTS,
        },
    };
    let section = |checker: &mut Checker<'_>, keys: &'static SectionKeys| {
        let what = checker.spelling.section(keys.name());
        top.get(keys.name())
            .and_then(|value| checker.as_section(value, &what, keys))
    };
    if let Some(section) = section(checker, &keys::MASTER) {
        master(checker, &section, &mut settings);
    }
    if settings.url.is_empty() {
        let scheme = if settings.tls.is_some() { "https" } else { "http" };
        settings.url = format!("{scheme}://{}/", settings.listen);
    }
    if let Some(section) = section(checker, &keys::CHANGE_HOOK) {
        checker.unknown_keys(&section, &[]);
        if let Some(enabled) = checker.boolean(&section, "enabled") {
            settings.change_hook.enabled = enabled;
        }
        settings.change_hook.token_sha256 =
            token::read(checker, &section, &token::TOKEN, "change_hook", false).map(|token| token.sha256);
    }
    if let Some(section) = section(checker, &keys::PB) {
        checker.unknown_keys(&section, &[]);
        let tls = tls::read(checker, &section);
        let plain_listen = address(checker, &section, "plain_listen", 9990);
        if let (Some(span), false) = (section.key_span("plain_listen"), section.has("certificate")) {
            checker.error_help(
                "conflict",
                span,
                "[pb] has a `plain_listen`, and no `certificate`".to_owned(),
                Some(
                    "without a certificate nothing is encrypted at `listen` either; leave it out".to_owned(),
                ),
            );
        }
        settings.pb = address(checker, &section, "listen", 9989).map(|listen| PbSettings {
            listen,
            plain_listen,
            tls,
        });
    }
    if let Some(section) = section(checker, &keys::SENDCHANGE) {
        checker.unknown_keys(&section, &[]);
        let user = checker.text(&section, "user");
        let token = token::read(checker, &section, &token::TOKEN, "sendchange", true);
        settings.sendchange = token.map(|token| SendchangeSettings {
            user: user.map_or_else(|| "change".to_owned(), |user| user.value),
            secret: token.pb,
        });
    }
    if let Some(section) = section(checker, &keys::LIMITS) {
        checker.unknown_keys(&section, &[]);
        if let Some(bytes) = checker.size(&section, "request_size") {
            settings.limits.request_bytes_max = bytes;
        }
        if let Some(events) = checker.integer(&section, "feed_events") {
            settings.limits.feed_events = events.unsigned_abs();
        }
    }
    settings
}

fn master(checker: &mut Checker<'_>, section: &Section<'_>, settings: &mut Settings) {
    checker.unknown_keys(section, &[]);
    if let Some(title) = checker.text(section, "title") {
        settings.title = title.value;
    }
    if let Some(url) = checker
        .text(section, "url")
        .and_then(|text| base_url(checker, &text))
    {
        settings.url = url;
    }
    if let Some(address) = address(checker, section, "listen", 8010) {
        settings.listen = address;
    }
    settings.tls = tls::read(checker, section);
    if let Some(dir) = checker.text(section, "state_dir") {
        if dir.value.is_empty() {
            checker.error("bad_path", dir.span, "`state_dir` is empty");
        } else {
            settings.state_dir = checker.base_dir.join(dir.value);
        }
    }
    settings.database = database::read(checker, section);
    if let Some(reading) = checker.choice(
        section,
        "reading",
        &[("open", Reading::Open), ("login", Reading::Login)],
    ) {
        settings.reading = reading;
    }
    for origin in checker.texts(section, "allowed_origins").unwrap_or_default() {
        if is_origin(&origin.value) {
            settings.allowed_origins.push(origin.value);
        } else {
            checker.error_help(
                "bad_origin",
                origin.span,
                format!("`{}` is not the origin of a web site", origin.value),
                Some("write it with its scheme and without a path: `https://status.example.org`".to_owned()),
            );
        }
    }
    if let Some(behind_proxy) = checker.boolean(section, "behind_proxy") {
        settings.behind_proxy = behind_proxy;
    }
    if let Some(dir) = checker.text(section, "ui_dir") {
        let path = checker.base_dir.join(&dir.value);
        if dir.value.is_empty() {
            checker.error("bad_path", dir.span, "`ui_dir` is empty");
        } else if !path.join("index.html").is_file() {
            checker.warning(
                "bad_path",
                dir.span,
                format!("there is no `index.html` in `{}`", dir.value),
                "leave `ui_dir` out to have the pages inside the program",
            );
        }
        settings.ui_dir = Some(path);
    }
    if let Some(level) = checker.choice(
        section,
        "log_level",
        &[
            LogLevel::Error,
            LogLevel::Warn,
            LogLevel::Info,
            LogLevel::Debug,
            LogLevel::Trace,
        ]
        .map(|level| (level.word(), level)),
    ) {
        settings.log_level = level;
    }
    if let Some(lease) = checker.duration(section, "lease") {
        settings.lease = lease;
    }
    if let Some(dead_after) = checker.duration(section, "dead_after") {
        settings.dead_after = dead_after;
        settings.heartbeat = Duration(dead_after.0 / 3);
    }
    if let Some(heartbeat) = checker.duration(section, "heartbeat") {
        settings.heartbeat = heartbeat;
    }
    // The protocol gives a connection up after two and a half heartbeats of silence.
    if settings.dead_after.0 < settings.heartbeat.0.saturating_mul(5) / 2 {
        let span = section
            .get("heartbeat")
            .map(|value| value.span)
            .unwrap_or_default();
        checker.error_help(
            "conflict",
            span,
            format!(
                "`heartbeat` ({}) is too rare to notice a dead connection within `dead_after` ({})",
                units::duration_text(settings.heartbeat),
                units::duration_text(settings.dead_after)
            ),
            Some("leave `heartbeat` out: it is a third of `dead_after` then".to_owned()),
        );
    }
    if settings.lease < settings.dead_after {
        let key = if section.has("lease") {
            "lease"
        } else {
            "dead_after"
        };
        let span = section.get(key).map(|value| value.span).unwrap_or_default();
        checker.error_help(
            "conflict",
            span,
            format!(
                "`lease` ({}) must not be shorter than `dead_after` ({})",
                units::duration_text(settings.lease),
                units::duration_text(settings.dead_after)
            ),
            Some("otherwise workers give up before the master has noticed anything".to_owned()),
        );
    }
}

fn address(
    checker: &mut Checker<'_>,
    section: &Section<'_>,
    key: &'static str,
    port: u16,
) -> Option<SocketAddr> {
    let text = checker.text(section, key)?;
    let address = text.value.parse().ok();
    if address.is_none() {
        checker.error_help(
            "bad_address",
            text.span,
            format!("`{}` is not an address with a port", text.value),
            Some(format!(
                "write `127.0.0.1:{port}` for this machine only, or `0.0.0.0:{port}` for every address"
            )),
        );
    }
    address
}

fn is_origin(text: &str) -> bool {
    let host = ["http://", "https://", "*://"]
        .iter()
        .find_map(|scheme| text.strip_prefix(scheme));
    text == "*"
        || host.is_some_and(|host| {
            let host = host.strip_suffix('/').unwrap_or(host);
            !host.is_empty() && !host.contains(|c: char| c == '/' || c.is_whitespace() || c.is_control())
        })
}

/// Checks a base URL and puts the slash at its end.
fn base_url(checker: &mut Checker<'_>, text: &Text) -> Option<String> {
    let rest = ["http://", "https://"]
        .iter()
        .find_map(|scheme| text.value.strip_prefix(scheme));
    let host = rest.unwrap_or_default().split('/').next().unwrap_or_default();
    let clean = !text
        .value
        .contains(|c: char| c.is_whitespace() || c.is_control() || matches!(c, '?' | '#' | '"' | '<' | '>'));
    if host.is_empty() || host.contains('@') || !clean {
        checker.error_help(
            "bad_url",
            text.span,
            format!("`{}` is not the base URL of a web site", text.value),
            Some("write it as people type it: `https://ci.example.org/`".to_owned()),
        );
        return None;
    }
    Some(format!("{}/", text.value.trim_end_matches('/')))
}
