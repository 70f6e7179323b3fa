//! Which pages may use the API (section 2 of `docs/reference/rest-api-v2.md`). The check covers every request that
//! names an origin, event sockets too: that is also what keeps other sites from acting with a user's cookie.

use axum::http::{HeaderMap, HeaderValue, header, uri::Uri};

use crate::{error::ApiError, settings::ApiSettings};

/// The origins that may.
#[derive(Debug)]
pub struct Origins {
    /// In lower case; `*` and `?` are wildcards.
    patterns: Vec<String>,
}

impl Origins {
    /// The own site and those of the settings.
    pub fn new(settings: &ApiSettings) -> Self {
        let own = settings
            .url
            .parse::<Uri>()
            .ok()
            .and_then(|url| Some(format!("{}://{}", url.scheme_str()?, url.authority()?)));
        let patterns = own
            .iter()
            .chain(&settings.origins)
            .map(|origin| origin.trim_end_matches('/').to_ascii_lowercase());
        Self {
            patterns: patterns.collect(),
        }
    }

    /// The request's origin, if it names one that may; an error if it names one that may not.
    pub fn check<'a>(&self, headers: &'a HeaderMap) -> Result<Option<&'a HeaderValue>, ApiError> {
        let Some(value) = headers.get(header::ORIGIN) else {
            // Browsers that leave the origin out say at least whether the request comes from another site.
            let cross_site = headers
                .get("sec-fetch-site")
                .is_some_and(|site| site == "cross-site");
            let navigates = headers
                .get("sec-fetch-mode")
                .is_some_and(|mode| mode == "navigate");
            return if cross_site && !navigates {
                Err(refused())
            } else {
                Ok(None)
            };
        };
        let origin = value.to_str().map_err(|_| refused())?.to_ascii_lowercase();
        // A page of the very host and port that it asks is of the own site, whatever name that goes by.
        let same_host = headers
            .get(header::HOST)
            .and_then(|host| host.to_str().ok())
            .is_some_and(|host| {
                origin
                    .split_once("://")
                    .is_some_and(|(_, named)| named.eq_ignore_ascii_case(host))
            });
        if same_host
            || self
                .patterns
                .iter()
                .any(|pattern| matches(pattern.as_bytes(), origin.as_bytes()))
        {
            Ok(Some(value))
        } else {
            Err(refused())
        }
    }
}

fn refused() -> ApiError {
    ApiError::BadRequest("invalid origin".into())
}

/// `*` = any text, `?` = any byte. Linear but for the number of stars, which the administrator chose.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern.first(), text.first()) {
        (None, None) => true,
        (Some(b'*'), _) => matches(&pattern[1..], text) || (!text.is_empty() && matches(pattern, &text[1..])),
        (Some(b'?'), Some(_)) => matches(&pattern[1..], &text[1..]),
        (Some(a), Some(b)) if a == b => matches(&pattern[1..], &text[1..]),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_and_listed_origins_may() {
        let mut settings = ApiSettings::new("https://CI.example.org/buildbot/");
        settings.origins = vec!["https://*.example.net".into(), "http://localhost:80??".into()];
        let origins = Origins::new(&settings);
        for (origin, host, may) in [
            ("https://ci.example.org", "inner:8010", true),
            ("https://ci.example.org.evil", "inner:8010", false),
            ("http://ci.example.org", "inner:8010", false),
            ("https://a.b.EXAMPLE.net", "inner:8010", true),
            ("http://localhost:8099", "inner:8010", true),
            ("http://localhost:80999", "inner:8010", false),
            ("http://127.0.0.1:8010", "127.0.0.1:8010", true),
            ("http://127.0.0.1:8011", "127.0.0.1:8010", false),
            ("null", "inner:8010", false),
        ] {
            let headers = HeaderMap::from_iter([
                (header::ORIGIN, HeaderValue::from_static(origin)),
                (header::HOST, HeaderValue::from_static(host)),
            ]);
            assert_eq!(origins.check(&headers).is_ok(), may, "{origin}");
        }
        assert!(origins.check(&HeaderMap::new()).is_ok());
    }
}
