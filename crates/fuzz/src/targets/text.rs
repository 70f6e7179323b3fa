//! Texts that people and other programs write.

use std::path::Path;

use ironmaster_model::{Catalogue, Properties, Scope, Template};

/// A configuration.
pub(crate) fn config(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let catalogue = Catalogue {
        steps: ironmaster_steps::step_kinds(),
        change_sources: ironmaster_changes::change_source_kinds(),
    };
    let (loaded, report) =
        ironmaster_config::check("fuzz.toml", &text, Path::new("/nonexistent"), &catalogue);
    assert_eq!(
        loaded.is_none(),
        report.has_errors(),
        "it is refused for a reason"
    );
    let _ = report.render(false);
}

/// A text with `%(prop:name)s` and the like.
pub(crate) fn interpolate(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    match Template::parse(&text) {
        Ok(template) => {
            let mut properties = Properties::new();
            properties.set("name", "value", "fuzz");
            let scope = Scope {
                properties: &properties,
                sourcestamps: &[],
                worker: None,
            };
            let _ = template.render(&scope);
        }
        Err(error) => assert!(error.at <= text.len(), "it points into the text"),
    }
}

/// A form of the generic change hook: `name=value&name=value`, without escapes.
pub(crate) fn change_hook(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let form: Vec<(String, String)> = text
        .split('&')
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    match ironmaster_changes::parse_base(&form) {
        Ok(change) => assert!(!change.author.is_empty()),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    let _ = ironmaster_changes::authorized(Some(&text), "00");
}
