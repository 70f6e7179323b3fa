//! Rows back into records. Each `select` names a table's columns in their declared order; each decoder takes them in
//! that order.

pub(super) mod pipelines;

use ironmaster_model::{
    BuildId, BuildRecord, BuildRequestId, BuildRequestRecord, BuilderId, BuilderRecord, BuildsetId,
    BuildsetRecord, ChangeId, ChangeRecord, ChangeSourceId, ChangeSourceRecord, CodebaseId, CodebaseRecord,
    Duration, EffectRecord, JobId, LogContent, LogId, LogKind, LogRecord, MasterId, MasterRecord,
    NewSourceStamp, Patch, ProjectId, ProjectRecord, RequestPhase, Results, SchedulerId, SchedulerRecord,
    SourceStampId, SourceStampRecord, StepId, StepRecord, Timestamp, WorkerConnection, WorkerId,
    WorkerRecord,
};
use serde::de::DeserializeOwned;

use super::session::{Cell, Param, Row, Session, Text};
use crate::{error::StoreError, row::Table};

/// `select` of all columns of a table, with a condition and order to follow.
pub(super) fn select(table: Table, rest: &str) -> String {
    let names: Vec<_> = table.columns().iter().map(|column| column.name).collect();
    format!("select {} from {} {rest}", names.join(", "), table.name())
}

/// Runs a query and decodes each row.
pub(super) fn collect<T>(
    session: &mut dyn Session,
    table: Table,
    sql: &str,
    params: &[Param],
    decode: impl Fn(&mut Fields<'_>) -> Result<T, StoreError>,
) -> Result<Vec<T>, StoreError> {
    let mut records = Vec::new();
    session.each(sql, params, &mut |row| {
        records.push(decode(&mut Fields::new(table, row))?);
        Ok(())
    })?;
    Ok(records)
}

/// Takes a row's columns one after another.
pub(super) struct Fields<'a> {
    table: Table,
    row: &'a dyn Row,
    next: usize,
}

impl<'a> Fields<'a> {
    pub(super) fn new(table: Table, row: &'a dyn Row) -> Self {
        Self { table, row, next: 0 }
    }

    fn value(&mut self) -> Result<Cell<'a>, StoreError> {
        let value = self.row.cell(self.next)?;
        self.next += 1;
        Ok(value)
    }

    /// What does not fit, in the column that was taken last.
    fn malformed(&self, what: impl std::fmt::Display) -> StoreError {
        let column = self.row.name(self.next.saturating_sub(1));
        let row = match self.row.cell(0) {
            Ok(Cell::Int(id)) => id.to_string(),
            Ok(Cell::Text(text)) => text
                .text()
                .map_or_else(|_| "?".into(), std::borrow::Cow::into_owned),
            _ => "?".into(),
        };
        StoreError::Malformed {
            table: self.table.name(),
            row,
            what: format!("column {column}: {what}"),
        }
    }

    fn unfit(&self, wanted: &str, found: &Cell<'_>) -> StoreError {
        self.malformed(format!("{wanted} expected, not {}", found.kind()))
    }

    pub(super) fn int(&mut self) -> Result<i64, StoreError> {
        match self.value()? {
            Cell::Int(value) => Ok(value),
            other => Err(self.unfit("a number is", &other)),
        }
    }

    pub(super) fn opt_int(&mut self) -> Result<Option<i64>, StoreError> {
        match self.value()? {
            Cell::Null => Ok(None),
            Cell::Int(value) => Ok(Some(value)),
            other => Err(self.unfit("a number is", &other)),
        }
    }

    pub(super) fn id(&mut self) -> Result<u64, StoreError> {
        let value = self.int()?;
        u64::try_from(value).map_err(|_| self.malformed("a number is negative"))
    }

    fn opt_id(&mut self) -> Result<Option<u64>, StoreError> {
        let value = self.opt_int()?;
        value
            .map(|value| u64::try_from(value).map_err(|_| self.malformed("a number is negative")))
            .transpose()
    }

    fn small(&mut self) -> Result<u32, StoreError> {
        let value = self.int()?;
        u32::try_from(value).map_err(|_| self.malformed("a number is out of range"))
    }

    fn bool(&mut self) -> Result<bool, StoreError> {
        Ok(self.int()? != 0)
    }

    fn opt_bool(&mut self) -> Result<Option<bool>, StoreError> {
        Ok(self.opt_int()?.map(|value| value != 0))
    }

    pub(super) fn time(&mut self) -> Result<Timestamp, StoreError> {
        self.int().map(Timestamp)
    }

    fn opt_time(&mut self) -> Result<Option<Timestamp>, StoreError> {
        Ok(self.opt_int()?.map(Timestamp))
    }

    fn opt_raw(&mut self) -> Result<Option<Text<'a>>, StoreError> {
        match self.value()? {
            Cell::Null => Ok(None),
            Cell::Text(text) => Ok(Some(text)),
            other => Err(self.unfit("a text is", &other)),
        }
    }

    fn raw(&mut self) -> Result<Text<'a>, StoreError> {
        self.opt_raw()?.ok_or_else(|| self.malformed("there is no text"))
    }

    fn plain(&self, text: Text<'a>) -> Result<String, StoreError> {
        text.text()
            .map(std::borrow::Cow::into_owned)
            .map_err(|_| self.malformed("the text is not UTF-8"))
    }

    pub(super) fn text(&mut self) -> Result<String, StoreError> {
        let text = self.raw()?;
        self.plain(text)
    }

    fn opt_text(&mut self) -> Result<Option<String>, StoreError> {
        let text = self.opt_raw()?;
        text.map(|text| self.plain(text)).transpose()
    }

    pub(super) fn json<T: DeserializeOwned>(&mut self) -> Result<T, StoreError> {
        let text = self.raw()?;
        serde_json::from_slice(&text.json()).map_err(|error| self.malformed(error))
    }

    fn opt_json<T: DeserializeOwned>(&mut self) -> Result<Option<T>, StoreError> {
        let Some(text) = self.opt_raw()? else {
            return Ok(None);
        };
        serde_json::from_slice(&text.json())
            .map(Some)
            .map_err(|error| self.malformed(error))
    }

    fn opt_bytes(&mut self) -> Result<Option<Vec<u8>>, StoreError> {
        match self.value()? {
            Cell::Null => Ok(None),
            Cell::Bytes(bytes) => Ok(Some(bytes.to_vec())),
            other => Err(self.unfit("bytes are", &other)),
        }
    }

    fn opt_results(&mut self) -> Result<Option<Results>, StoreError> {
        let Some(code) = self.opt_int()? else {
            return Ok(None);
        };
        u8::try_from(code)
            .ok()
            .and_then(|code| Results::try_from(code).ok())
            .map(Some)
            .ok_or_else(|| self.malformed(format!("{code} is no result")))
    }
}

pub(super) fn master(fields: &mut Fields<'_>) -> Result<MasterRecord, StoreError> {
    Ok(MasterRecord {
        id: MasterId(fields.id()?),
        name: fields.text()?,
        active: fields.bool()?,
        last_active: fields.time()?,
        lease: Duration(fields.int()?),
        draining: fields.bool()?,
    })
}

pub(super) fn builder(fields: &mut Fields<'_>) -> Result<BuilderRecord, StoreError> {
    Ok(BuilderRecord {
        id: BuilderId(fields.id()?),
        name: fields.text()?,
        description: fields.opt_text()?,
        tags: fields.json()?,
        active: fields.bool()?,
        next_number: fields.id()?,
        project: fields.opt_id()?.map(ProjectId),
    })
}

pub(super) fn project(fields: &mut Fields<'_>) -> Result<ProjectRecord, StoreError> {
    Ok(ProjectRecord {
        id: ProjectId(fields.id()?),
        name: fields.text()?,
        description: fields.opt_text()?,
        active: fields.bool()?,
    })
}

pub(super) fn codebase(fields: &mut Fields<'_>) -> Result<CodebaseRecord, StoreError> {
    Ok(CodebaseRecord {
        id: CodebaseId(fields.id()?),
        name: fields.text()?,
        project: ProjectId(fields.id()?),
        active: fields.bool()?,
    })
}

pub(super) fn worker(fields: &mut Fields<'_>) -> Result<WorkerRecord, StoreError> {
    let id = WorkerId(fields.id()?);
    let name = fields.text()?;
    let active = fields.bool()?;
    let builders = fields.json()?;
    let paused = fields.bool()?;
    let pause_reason = fields.opt_text()?;
    let graceful = fields.bool()?;
    let downtime = fields.json()?;
    let killed = fields.bool()?;
    let slots = fields.small()?;
    let instance = fields.opt_text()?;
    let boot = fields.opt_text()?;
    let resumes = fields.opt_bool()?;
    let connected = fields.opt_bool()?;
    let connection = match (instance, boot, resumes, connected) {
        (None, None, None, None) => None,
        (Some(instance), Some(boot), Some(resumes), Some(connected)) => Some(WorkerConnection {
            instance,
            boot,
            resumes,
            connected,
        }),
        _ => return Err(fields.malformed("the connection's columns are neither all set nor all null")),
    };
    Ok(WorkerRecord {
        id,
        name,
        active,
        builders,
        paused,
        pause_reason,
        graceful,
        downtime,
        killed,
        slots,
        connection,
        disconnected_at: fields.opt_time()?,
        missing: fields.bool()?,
        info: fields.json()?,
    })
}

pub(super) fn scheduler(fields: &mut Fields<'_>) -> Result<SchedulerRecord, StoreError> {
    Ok(SchedulerRecord {
        id: SchedulerId(fields.id()?),
        name: fields.text()?,
        active: fields.bool()?,
        enabled: fields.bool()?,
        state: fields.json()?,
    })
}

pub(super) fn change_source(fields: &mut Fields<'_>) -> Result<ChangeSourceRecord, StoreError> {
    Ok(ChangeSourceRecord {
        id: ChangeSourceId(fields.id()?),
        name: fields.text()?,
        active: fields.bool()?,
    })
}

pub(super) fn sourcestamp(fields: &mut Fields<'_>) -> Result<SourceStampRecord, StoreError> {
    let id = SourceStampId(fields.id()?);
    let branch = fields.opt_text()?;
    let revision = fields.opt_text()?;
    let repository = fields.text()?;
    let project = fields.text()?;
    let codebase = fields.text()?;
    let level = fields.opt_int()?;
    let subdir = fields.opt_text()?;
    let author = fields.opt_text()?;
    let comment = fields.opt_text()?;
    let body = fields.opt_text()?;
    let patch = match (level, subdir, author, comment, body) {
        (None, None, None, None, None) => None,
        (Some(level), Some(subdir), Some(author), Some(comment), Some(body)) => Some(Patch {
            level: u32::try_from(level).map_err(|_| fields.malformed("the patch level is out of range"))?,
            subdir,
            author,
            comment,
            body,
        }),
        _ => return Err(fields.malformed("the patch's columns are neither all set nor all null")),
    };
    Ok(SourceStampRecord {
        id,
        stamp: NewSourceStamp {
            branch,
            revision,
            repository,
            project,
            codebase,
            patch,
        },
        created_at: fields.time()?,
    })
}

pub(super) fn change(fields: &mut Fields<'_>) -> Result<ChangeRecord, StoreError> {
    Ok(ChangeRecord {
        id: ChangeId(fields.id()?),
        author: fields.text()?,
        committer: fields.opt_text()?,
        comments: fields.text()?,
        files: fields.json()?,
        revision: fields.opt_text()?,
        branch: fields.opt_text()?,
        category: fields.opt_text()?,
        revlink: fields.opt_text()?,
        repository: fields.text()?,
        project: fields.text()?,
        codebase: fields.text()?,
        when: fields.time()?,
        properties: fields.json()?,
        sourcestamp: SourceStampId(fields.id()?),
        parent: fields.opt_id()?.map(ChangeId),
    })
}

/// Without its source stamps and changes, which are rows of their own.
pub(super) fn buildset(fields: &mut Fields<'_>) -> Result<BuildsetRecord, StoreError> {
    let id = BuildsetId(fields.id()?);
    let external_id = fields.opt_text()?;
    let reason = fields.text()?;
    let scheduler = fields.text()?;
    let submitted_at = fields.time()?;
    let parent_build = fields.opt_id()?.map(BuildId);
    let parent_relationship = fields.opt_text()?;
    let rebuilt_build = fields.opt_id()?.map(BuildId);
    let job = fields.opt_id()?.map(JobId);
    let complete_at = fields.opt_time()?;
    let results = fields.opt_results()?;
    Ok(BuildsetRecord {
        id,
        external_id,
        reason,
        scheduler,
        submitted_at,
        sourcestamps: Vec::new(),
        changes: Vec::new(),
        properties: fields.json()?,
        parent_build,
        parent_relationship,
        rebuilt_build,
        job,
        complete_at,
        results,
    })
}

pub(super) fn request(fields: &mut Fields<'_>) -> Result<BuildRequestRecord, StoreError> {
    let id = BuildRequestId(fields.id()?);
    let buildset = BuildsetId(fields.id()?);
    let builder = BuilderId(fields.id()?);
    let priority = fields.int()?;
    let by_hand = fields.bool()?;
    let submitted_at = fields.time()?;
    let waited_for = fields.bool()?;
    let attempts = fields.small()?;
    let claimed_build = fields.opt_id()?;
    let claimed_at = fields.opt_time()?;
    let _master = fields.opt_id()?;
    let complete_at = fields.opt_time()?;
    let results = fields.opt_results()?;
    let cause = fields.opt_json()?;
    let phase = match (complete_at, results, claimed_build, claimed_at) {
        (Some(at), Some(results), _, _) => RequestPhase::Complete { results, at, cause },
        (None, None, Some(build), Some(at)) => RequestPhase::Claimed {
            build: BuildId(build),
            at,
        },
        (None, None, None, None) => RequestPhase::Queued,
        _ => return Err(fields.malformed("it is neither queued, claimed nor complete")),
    };
    Ok(BuildRequestRecord {
        id,
        buildset,
        builder,
        priority,
        by_hand,
        submitted_at,
        waited_for,
        attempts,
        phase,
    })
}

pub(super) fn build(fields: &mut Fields<'_>) -> Result<BuildRecord, StoreError> {
    let id = BuildId(fields.id()?);
    let number = fields.id()?;
    let builder = BuilderId(fields.id()?);
    let request = BuildRequestId(fields.id()?);
    let attempt = fields.small()?;
    let worker = WorkerId(fields.id()?);
    let instance = fields.text()?;
    let slot = fields.small()?;
    let master = MasterId(fields.id()?);
    let config = fields.text()?;
    let started_at = fields.time()?;
    let complete_at = fields.opt_time()?;
    let results = fields.opt_results()?;
    let cause = fields.opt_json()?;
    let state_string = fields.text()?;
    let stop = fields.opt_text()?.zip(fields.opt_text()?);
    let lost = fields.opt_text()?;
    let waits = fields.opt_json()?;
    Ok(BuildRecord {
        id,
        number,
        builder,
        request,
        attempt,
        worker,
        instance,
        slot,
        master,
        config,
        started_at,
        complete_at,
        results,
        cause,
        state_string,
        properties: fields.json()?,
        stop,
        lost,
        waits,
    })
}

pub(super) fn step(fields: &mut Fields<'_>) -> Result<StepRecord, StoreError> {
    Ok(StepRecord {
        id: StepId(fields.id()?),
        build: BuildId(fields.id()?),
        number: fields.small()?,
        definition: fields.small()?,
        name: fields.text()?,
        started_at: fields.time()?,
        locks_acquired_at: fields.opt_time()?,
        complete_at: fields.opt_time()?,
        results: fields.opt_results()?,
        cause: fields.opt_json()?,
        state_string: fields.text()?,
        urls: fields.json()?,
        hidden: fields.bool()?,
    })
}

/// Stops before the content.
pub(super) fn log(fields: &mut Fields<'_>) -> Result<LogRecord, StoreError> {
    Ok(LogRecord {
        id: LogId(fields.id()?),
        step: StepId(fields.id()?),
        build: BuildId(fields.id()?),
        name: fields.text()?,
        slug: fields.text()?,
        kind: match fields.text()?.as_str() {
            "s" => LogKind::Stdio,
            "t" => LogKind::Text,
            "h" => LogKind::Html,
            other => return Err(fields.malformed(format!("there is no kind \"{other}\""))),
        },
        complete: fields.bool()?,
        num_lines: fields.id()?,
        raw_bytes: fields.id()?,
    })
}

/// What follows [`log`].
pub(super) fn log_content(fields: &mut Fields<'_>) -> Result<LogContent, StoreError> {
    Ok(fields.opt_bytes()?.map_or(LogContent::File, LogContent::Inline))
}

pub(super) fn effect(fields: &mut Fields<'_>) -> Result<EffectRecord, StoreError> {
    let _step = fields.id()?;
    Ok(EffectRecord {
        ordinal: fields.small()?,
        kind: fields.text()?,
        digest: fields.text()?,
        outcome: fields.json()?,
    })
}
