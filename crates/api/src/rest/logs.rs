//! Log contents and downloads (section 7 of `docs/reference/rest-api-v2.md`), in constant memory: one piece is read
//! ahead of the client, so that a slow client holds neither more memory nor a thread.

use std::io;

use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, Response as HttpResponse, StatusCode, header},
    response::Response,
};
use bytes::Bytes;
use futures_util::stream;
use ironmaster_logs::{ContentsReader, LogError, RawReader};
use ironmaster_master::LogHandle;
use ironmaster_model::{LogId, LogKind};
use ironmaster_store::{Filter, Query, Reader, Resource};
use serde_json::{Map, Value, json};
use tokio::task::JoinHandle;

use super::{
    answer::{content_type, whole},
    locate::{query_error, targets},
    read::not_found,
};
use crate::{
    app::Shared,
    error::ApiError,
    json::{self, Layout},
    query,
    registry::Found,
};

/// Bytes read at once. Two such pieces per running download are in memory.
const PIECE_BYTES: usize = 256 * 1024;

/// `…/contents`.
pub(super) async fn contents(
    app: &Shared,
    found: Found,
    query_text: &str,
    query: &Query,
    layout: Layout,
) -> Result<Response, ApiError> {
    let (first, count) = line_range(query_text).ok_or_else(|| not_found(&found, query_text))?;
    let (handle, _) = open(app, found, query_text, false).await?;
    let shows = |field: &str| {
        query
            .fields
            .as_ref()
            .is_none_or(|fields| fields.iter().any(|name| name == field))
    };
    let mut chunk = Map::new();
    chunk.insert("content".into(), Value::from(""));
    chunk.insert("firstline".into(), Value::from(first));
    chunk.insert("logid".into(), Value::from(handle.record.id.0));
    chunk.retain(|name, _| shows(name));
    let frame = json::to_vec(&json!({ "logchunks": [chunk], "meta": {} }), layout);
    if !shows("content") {
        return Ok(whole(frame, layout));
    }
    // The text goes between the only two quotes with nothing in between.
    let hole = frame
        .windows(2)
        .position(|pair| pair == b"\"\"")
        .expect("the content is empty so far")
        + 1;
    let (head, tail) = (frame[..hole].to_vec(), frame[hole..].to_vec());
    let (mut pieces, piece) = blocking(move || {
        let reader = handle.reader.contents(first, count)?;
        let mut pieces = ContentsPieces {
            head,
            reader,
            tail: Some(tail),
        };
        let piece = pieces.next()?.unwrap_or_default();
        Ok::<_, LogError>((pieces, piece))
    })
    .await
    .map_err(|fault| damaged(&fault))?;
    if pieces.tail.is_none() {
        return Ok(whole(piece, layout));
    }
    pieces.head = piece;
    Ok(HttpResponse::builder()
        .header(header::CONTENT_TYPE, content_type(layout))
        .body(body(pieces))
        .expect("all parts are valid"))
}

/// `…/raw` and `…/raw_inline`.
pub(super) async fn raw(
    app: &Shared,
    found: Found,
    inline: bool,
    headers: &HeaderMap,
) -> Result<Response, ApiError> {
    let (handle, origin) = open(app, found, "", true).await?;
    let Some(origin) = origin else {
        return Err(ApiError::NotFound("the build of this log is gone".into()));
    };
    let record = handle.record;
    let head = if record.kind == LogKind::Stdio {
        format!(
            "Builder: {}\nBuild number: {}\nWorker name: {}\n",
            origin.builder, origin.number, origin.worker
        )
        .into_bytes()
    } else {
        Vec::new()
    };
    // What was there when the reader was made: a log that still grows has a definite length here.
    let log_bytes = handle.reader.raw_bytes();
    let total = head.len() as u64 + log_bytes;
    let range = requested_range(headers, total);

    let mut response = HttpResponse::builder()
        .header(header::ACCEPT_RANGES, "bytes")
        // A log is not our page, even if it says that it is HTML: it may not run scripts with the reader's cookie.
        .header(
            header::CONTENT_SECURITY_POLICY,
            "sandbox; default-src 'none'; img-src data:; style-src 'unsafe-inline'",
        )
        .header(header::X_CONTENT_TYPE_OPTIONS, "nosniff")
        .header(
            header::CONTENT_TYPE,
            if record.kind == LogKind::Html {
                "text/html; charset=utf-8"
            } else {
                "text/plain; charset=utf-8"
            },
        );
    if !inline {
        let name = format!(
            "{}_build_{}_step_{}_log_{}",
            origin.builder, origin.number, origin.step, record.slug
        );
        response = response.header(header::CONTENT_DISPOSITION, attachment(&name));
    }
    let (start, end) = match range {
        Range::Whole => (0, total),
        Range::Part(start, end) => {
            response = response.status(StatusCode::PARTIAL_CONTENT).header(
                header::CONTENT_RANGE,
                format!("bytes {start}-{}/{total}", end - 1),
            );
            (start, end)
        }
        Range::Beyond => {
            return Ok(response
                .status(StatusCode::RANGE_NOT_SATISFIABLE)
                .header(header::CONTENT_RANGE, format!("bytes */{total}"))
                .body(Body::empty())
                .expect("all parts are valid"));
        }
    };
    let head_bytes = head.len() as u64;
    let clip = |at: u64| usize::try_from(at.min(head_bytes)).unwrap_or(usize::MAX);
    let pieces = RawPieces {
        head: head[clip(start)..clip(end)].to_vec(),
        left: end.saturating_sub(head_bytes.max(start)),
        reader: {
            let (from, to) = (start.saturating_sub(head_bytes), end.saturating_sub(head_bytes));
            blocking(move || handle.reader.raw_range(from, to))
                .await
                .map_err(|fault| damaged(&fault))?
        },
    };
    Ok(response
        .header(header::CONTENT_LENGTH, end - start)
        .body(body(pieces))
        .expect("all parts are valid"))
}

/// Where a log belongs, for people.
#[derive(Debug)]
struct Origin {
    builder: String,
    number: u64,
    worker: String,
    step: String,
}

/// Opens the log that the path names.
async fn open(
    app: &Shared,
    found: Found,
    query: &str,
    with_origin: bool,
) -> Result<(LogHandle, Option<Origin>), ApiError> {
    let (found, id, origin) = app
        .master
        .read(move |reader| {
            let id = match targets(reader, Resource::Logs, "logid", &found.captures) {
                Ok(target) => Some(target.0),
                Err(ApiError::NotFound(_)) => None,
                Err(other) => return Err(other),
            };
            let origin = match id {
                Some(id) if with_origin => origin(reader, id)?,
                _ => None,
            };
            Ok((found, id, origin))
        })
        .await?;
    let Some(id) = id else {
        return Err(not_found(&found, query));
    };
    match app.master.log(LogId(id)).await {
        Ok(Some(handle)) => Ok((handle, origin)),
        Ok(None) => Err(not_found(&found, query)),
        Err(fault) => Err(ApiError::internal("a log cannot be opened", &fault)),
    }
}

fn origin(reader: &Reader, log: u64) -> Result<Option<Origin>, ApiError> {
    let one = |resource, filter| -> Result<Option<Map<String, Value>>, ApiError> {
        let query = Query {
            scope: vec![filter],
            limit: Some(1),
            ..Query::default()
        };
        Ok(reader.query(resource, &query).map_err(query_error)?.items.pop())
    };
    let id =
        |item: &Map<String, Value>, field: &str| item.get(field).and_then(Value::as_u64).unwrap_or_default();
    let text = |item: Option<Map<String, Value>>| {
        item.and_then(|item| item.get("name").and_then(Value::as_str).map(String::from))
            .unwrap_or_default()
    };
    let Some(log) = one(Resource::Logs, Filter::eq("logid", log))? else {
        return Ok(None);
    };
    let Some(step) = one(Resource::Steps, Filter::eq("stepid", id(&log, "stepid")))? else {
        return Ok(None);
    };
    let Some(build) = one(Resource::Builds, Filter::eq("buildid", id(&step, "buildid")))? else {
        return Ok(None);
    };
    Ok(Some(Origin {
        builder: text(one(
            Resource::Builders,
            Filter::eq("builderid", id(&build, "builderid")),
        )?),
        number: id(&build, "number"),
        worker: text(one(
            Resource::Workers,
            Filter::eq("workerid", id(&build, "workerid")),
        )?),
        step: text(Some(step)),
    }))
}

/// The lines that `offset` and `limit` ask for; none for a range that cannot exist.
fn line_range(query: &str) -> Option<(u64, Option<u64>)> {
    let first_of = |wanted: &str| {
        query::pairs(query)
            .find(|(name, _)| name == wanted)
            .map(|(_, value)| value.trim().parse::<i64>().unwrap_or(0))
    };
    let offset = u64::try_from(first_of("offset").unwrap_or(0)).ok()?;
    match first_of("limit") {
        None => Some((offset, None)),
        Some(limit) => u64::try_from(limit)
            .ok()
            .filter(|limit| *limit > 0)
            .map(|limit| (offset, Some(limit))),
    }
}

/// What a `Range` header asks for.
#[derive(Debug, PartialEq, Eq)]
enum Range {
    /// Everything.
    Whole,
    /// Bytes from the first to before the second.
    Part(u64, u64),
    /// Nothing that exists.
    Beyond,
}

/// Several ranges at once, other units and nonsense count as no range, which HTTP allows.
fn requested_range(headers: &HeaderMap, total: u64) -> Range {
    let parsed = headers
        .get(header::RANGE)
        .and_then(|value| value.to_str().ok())
        .and_then(|text| {
            let (first, last) = text.strip_prefix("bytes=")?.split_once('-')?;
            Some((first.trim().to_owned(), last.trim().to_owned()))
        });
    // A condition that we have no validator for is never true.
    let Some((first, last)) = parsed.filter(|_| !headers.contains_key(header::IF_RANGE)) else {
        return Range::Whole;
    };
    match (first.parse::<u64>(), last.parse::<u64>()) {
        (Ok(first), Ok(last)) if first <= last && first < total => {
            Range::Part(first, last.saturating_add(1).min(total))
        }
        (Ok(first), Err(_)) if last.is_empty() && first < total => Range::Part(first, total),
        (Err(_), Ok(length)) if first.is_empty() && length > 0 && total > 0 => {
            Range::Part(total.saturating_sub(length), total)
        }
        (Ok(first), Ok(last)) if first > last => Range::Whole,
        (Ok(_), Ok(_)) => Range::Beyond,
        (Ok(_), Err(_)) if last.is_empty() => Range::Beyond,
        (Err(_), Ok(_)) if first.is_empty() => Range::Beyond,
        _ => Range::Whole,
    }
}

/// A `Content-Disposition` that saves under this name.
fn attachment(name: &str) -> HeaderValue {
    let plain: String = name
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') {
                c
            } else {
                '_'
            }
        })
        .collect();
    HeaderValue::from_str(&format!("attachment; filename={plain}"))
        .expect("only harmless characters are left")
}

/// The next bytes; none at the end.
type Piece = Result<Option<Vec<u8>>, LogError>;

/// Something that is read piece by piece; blocks.
trait Pieces: Send + Sized + 'static {
    /// The next piece.
    fn next(&mut self) -> Piece;
}

struct ContentsPieces {
    head: Vec<u8>,
    reader: ContentsReader,
    /// Taken when the text has ended.
    tail: Option<Vec<u8>>,
}

impl Pieces for ContentsPieces {
    fn next(&mut self) -> Piece {
        let mut piece = std::mem::take(&mut self.head);
        while piece.len() < PIECE_BYTES && self.tail.is_some() {
            let text = self.reader.chunk()?;
            if text.is_empty() {
                piece.extend(self.tail.take().unwrap_or_default());
            } else {
                json::write_fragment(&mut piece, text);
            }
        }
        Ok((!piece.is_empty()).then_some(piece))
    }
}

struct RawPieces {
    head: Vec<u8>,
    reader: RawReader,
    left: u64,
}

impl Pieces for RawPieces {
    fn next(&mut self) -> Piece {
        let mut piece = std::mem::take(&mut self.head);
        let wanted = usize::try_from(self.left).map_or(PIECE_BYTES, |left| left.min(PIECE_BYTES));
        // Once, and for as much as the last chunk may bring more.
        piece.reserve_exact(wanted + PIECE_BYTES);
        while piece.len() < PIECE_BYTES && self.left > 0 {
            let bytes = self.reader.chunk()?;
            if bytes.is_empty() {
                break;
            }
            let take = bytes.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
            piece.extend_from_slice(&bytes[..take]);
            self.left -= take as u64;
        }
        Ok((!piece.is_empty()).then_some(piece))
    }
}

/// A body of these pieces. While one is sent, the next one is read. A fault in the middle ends the connection, which tells the
/// client that something is missing.
fn body(pieces: impl Pieces) -> Body {
    Body::from_stream(stream::unfold(Some(ahead(pieces)), |reading| async {
        match reading?.await {
            Ok((Ok(Some(piece)), pieces)) => Some((Ok(Bytes::from(piece)), Some(ahead(pieces)))),
            Ok((Ok(None), _)) => None,
            Ok((Err(fault), _)) => {
                damaged(&fault);
                Some((Err(io::Error::other(fault)), None))
            }
            Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
        }
    }))
}

/// Reads the next piece on a thread that may block.
fn ahead<P: Pieces>(mut pieces: P) -> JoinHandle<(Piece, P)> {
    tokio::task::spawn_blocking(move || (pieces.next(), pieces))
}

fn damaged(fault: &LogError) -> ApiError {
    ApiError::internal("a log cannot be read", fault)
}

async fn blocking<T: Send + 'static>(read: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(read).await {
        Ok(done) => done,
        Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_asked_for_as_in_buildbot() {
        assert_eq!(line_range(""), Some((0, None)));
        assert_eq!(line_range("offset=3&limit=2&offset=9"), Some((3, Some(2))));
        assert_eq!(line_range("offset=-1"), None);
        assert_eq!(line_range("limit=0"), None);
        assert_eq!(line_range("limit=-5"), None);
    }

    #[test]
    fn ranges_are_clipped_or_refused() {
        let range = |text: &'static str, total| {
            requested_range(
                &HeaderMap::from_iter([(header::RANGE, HeaderValue::from_static(text))]),
                total,
            )
        };
        assert_eq!(range("bytes=0-9", 100), Range::Part(0, 10));
        assert_eq!(range("bytes=90-", 100), Range::Part(90, 100));
        assert_eq!(range("bytes=90-1000", 100), Range::Part(90, 100));
        assert_eq!(range("bytes=-10", 100), Range::Part(90, 100));
        assert_eq!(range("bytes=-1000", 100), Range::Part(0, 100));
        assert_eq!(range("bytes=100-", 100), Range::Beyond);
        assert_eq!(range("bytes=-0", 100), Range::Beyond);
        assert_eq!(range("bytes=5-3", 100), Range::Whole);
        assert_eq!(range("bytes=1-2,4-5", 100), Range::Whole);
        assert_eq!(range("lines=1-2", 100), Range::Whole);
        assert_eq!(range("bytes=0-18446744073709551615", 100), Range::Part(0, 100));
    }

    #[test]
    fn names_of_downloads_are_harmless() {
        assert_eq!(attachment("a b/ü\"\n_log"), "attachment; filename=a_b_____log");
    }
}
