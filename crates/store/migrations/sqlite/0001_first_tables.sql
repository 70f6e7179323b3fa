-- The tables of the nouns, the feed, and what the committer keeps for itself.
--
-- Times are microseconds since 1970 (UTC). Ids come from `counters` and are never reused. `complete_at is null` means
-- that something is active: partial indexes over that keep a start-up independent of the length of history.
-- Columns that may be long come last, so that reading the others does not touch their overflow pages.

create table masters (
    id          integer primary key,
    name        text    not null unique,
    active      integer not null,
    last_active integer not null,
    lease       integer not null,           -- microseconds
    draining    integer not null
) strict;

create table builders (
    id          integer primary key,
    name        text    not null unique,
    description text,
    tags        text    not null,           -- JSON list of texts
    active      integer not null,
    next_number integer not null,
    project     integer
) strict;

create table workers (
    id              integer primary key,
    name            text    not null unique,
    active          integer not null,
    builders        text    not null,       -- JSON list of ids
    paused          integer not null,
    pause_reason    text,
    graceful        integer not null,
    downtime        text    not null,       -- JSON
    killed          integer not null,
    slots           integer not null,
    instance        text,                   -- with the next three null until it first connected
    boot            text,
    resumes         integer,
    connected       integer,
    disconnected_at integer,
    missing         integer not null,
    info            text    not null        -- JSON
) strict;

create table schedulers (
    id      integer primary key,
    name    text    not null unique,
    active  integer not null,
    enabled integer not null,
    state   text    not null                -- JSON
) strict;

create table changesources (
    id     integer primary key,
    name   text    not null unique,
    active integer not null
) strict;

create table projects (
    id          integer primary key,
    name        text    not null unique,
    description text,
    active      integer not null
) strict;

create table codebases (
    id      integer primary key,
    name    text    not null unique,
    project integer not null,
    active  integer not null
) strict;

create table sourcestamps (
    id            integer primary key,
    branch        text,
    revision      text,
    repository    text    not null,
    project       text    not null,
    codebase      text    not null,
    patch_level   integer,
    patch_subdir  text,
    patch_author  text,
    patch_comment text,
    created_at    integer not null,
    patch_body    text
) strict;

create table changes (
    id          integer primary key,
    author      text    not null,
    committer   text,
    revision    text,
    branch      text,
    category    text,
    revlink     text,
    repository  text    not null,
    project     text    not null,
    codebase    text    not null,
    when_at     integer not null,
    sourcestamp integer not null references sourcestamps (id) deferrable initially deferred,
    parent      integer,
    comments    text    not null,
    files       text    not null,           -- JSON list of texts
    properties  text    not null            -- JSON object: name to [value, source]
) strict;

create index changes_sourcestamp on changes (sourcestamp);
create index changes_when        on changes (when_at);

create table buildsets (
    id                  integer primary key,
    external_id         text,
    reason              text    not null,
    scheduler           text    not null,
    submitted_at        integer not null,
    parent_build        integer,
    parent_relationship text,
    rebuilt_build       integer,
    job                 integer,
    complete_at         integer,
    results             integer,
    properties          text    not null    -- JSON object: name to [value, source]
) strict;

create index buildsets_active      on buildsets (id)           where complete_at is null;
create index buildsets_parent      on buildsets (parent_build) where parent_build is not null;
create index buildsets_job         on buildsets (job)          where job is not null;
create index buildsets_external_id on buildsets (external_id)  where external_id is not null;

create table buildset_sourcestamps (
    buildset    integer not null references buildsets (id)    deferrable initially deferred,
    position    integer not null,
    sourcestamp integer not null references sourcestamps (id) deferrable initially deferred,
    primary key (buildset, position)
) strict, without rowid;

create index buildset_sourcestamps_sourcestamp on buildset_sourcestamps (sourcestamp, buildset);

create table buildset_changes (
    buildset integer not null references buildsets (id) deferrable initially deferred,
    position integer not null,
    change   integer not null references changes (id)   deferrable initially deferred,
    primary key (buildset, position)
) strict, without rowid;

create index buildset_changes_change on buildset_changes (change, buildset);

create table buildrequests (
    id             integer primary key,
    buildset       integer not null references buildsets (id) deferrable initially deferred,
    builder        integer not null references builders (id)  deferrable initially deferred,
    priority       integer not null,
    by_hand        integer not null,        -- whether somebody has set the priority
    submitted_at   integer not null,
    waited_for     integer not null,
    attempts       integer not null,
    claimed_build  integer,                 -- the claim stays when the request is complete
    claimed_at     integer,
    claimed_master integer,
    complete_at    integer,
    results        integer,
    cause          text                     -- JSON
) strict;

create index buildrequests_buildset     on buildrequests (buildset);
create index buildrequests_builder      on buildrequests (builder);
create index buildrequests_submitted_at on buildrequests (submitted_at);
create index buildrequests_active       on buildrequests (id)      where complete_at is null;
create index buildrequests_active_of    on buildrequests (builder) where complete_at is null;

create table builds (
    id           integer primary key,
    number       integer not null,
    builder      integer not null references builders (id)      deferrable initially deferred,
    request      integer not null references buildrequests (id) deferrable initially deferred,
    attempt      integer not null,
    worker       integer not null references workers (id)       deferrable initially deferred,
    instance     text    not null,
    slot         integer not null,
    master       integer not null references masters (id)       deferrable initially deferred,
    config       text    not null,
    started_at   integer not null,
    complete_at  integer,
    results      integer,
    cause        text,                      -- JSON
    state_string text    not null,
    stop_by      text,
    stop_reason  text,
    lost         text,
    waits        text,
    properties   text    not null           -- JSON object: name to [value, source]
) strict;

create unique index builds_number      on builds (builder, number);
create index        builds_builder     on builds (builder);
create index        builds_request     on builds (request);
create index        builds_worker      on builds (worker);
create index        builds_started_at  on builds (started_at);
create index        builds_complete_at on builds (complete_at);
create index        builds_active      on builds (builder) where complete_at is null;

create table steps (
    id           integer primary key,
    build        integer not null references builds (id) deferrable initially deferred,
    number       integer not null,
    definition   integer not null,
    name         text    not null,
    started_at   integer not null,
    locks_acquired_at integer,         -- null while it waits for its locks
    complete_at  integer,
    results      integer,
    cause        text,                      -- JSON
    state_string text    not null,
    urls         text    not null,          -- JSON list of {name, url}
    hidden       integer not null
) strict;

create unique index steps_number on steps (build, number);

create table logs (
    id        integer primary key,
    step      integer not null references steps (id) deferrable initially deferred,
    build     integer not null,
    name      text    not null,
    slug      text    not null,
    kind      text    not null,
    complete  integer not null,
    num_lines integer not null,
    raw_bytes integer not null,
    content   blob                          -- null: the text is in the build's log file
) strict;

create unique index logs_slug on logs (step, slug);

create table effects (
    step    integer not null,
    ordinal integer not null,
    kind    text    not null,
    digest  text    not null,
    outcome text    not null,               -- JSON
    primary key (step, ordinal)
) strict, without rowid;

create table pipelines (
    id          integer primary key,
    name        text    not null unique,
    active      integer not null,
    project     text    not null,
    description text
) strict;

create table runs (
    id           integer primary key,
    pipeline     integer not null references pipelines (id) deferrable initially deferred,
    state        text    not null,
    results      integer,
    scheduler    text    not null,
    priority     integer not null,
    parent       integer,                   -- job of another run
    depth        integer not null,
    retried      integer,                   -- run
    run_group    text,
    supersedes   text,
    trusted      integer not null,
    created_at   integer not null,
    started_at   integer,
    complete_at  integer,
    stop_by      text,
    stop_reason  text,
    why          text,
    reason       text    not null,
    sourcestamps text    not null,          -- JSON list of ids
    changes      text    not null,          -- JSON list of ids
    files        text,                      -- JSON list of texts
    properties   text    not null,          -- JSON object: name to [value, source]
    source       text,                      -- JSON
    definition   text    not null           -- JSON
) strict;

create index runs_active   on runs (id)       where complete_at is null;
create index runs_pipeline on runs (pipeline);
create index runs_parent   on runs (parent)   where parent is not null;

create table run_changes (
    run      integer not null references runs (id)    deferrable initially deferred,
    position integer not null,
    change   integer not null references changes (id) deferrable initially deferred,
    primary key (run, position)
) strict, without rowid;

create index run_changes_change on run_changes (change, run);

create table jobs (
    id          integer primary key,
    run         integer not null references runs (id) deferrable initially deferred,
    number      integer not null,
    name        text    not null,
    job_group   text    not null,
    state       text    not null,
    results     integer,
    buildset    integer,
    request     integer,
    child       integer,                    -- run
    attempts    integer not null,
    timed_out   integer not null,
    approved_by text,
    queued_at   integer,
    started_at  integer,
    complete_at integer,
    cause       text,                       -- JSON
    why         text,
    added_by    text,                       -- JSON
    needs       text    not null,           -- JSON list of numbers
    matrix      text    not null,           -- JSON object
    outputs     text    not null,           -- JSON object: name to [value, source]
    definition  text    not null            -- JSON
) strict;

create unique index jobs_number   on jobs (run, number);
create index        jobs_buildset on jobs (buildset) where buildset is not null;

create table configs (
    digest text not null primary key,
    plan   text not null                    -- JSON
) strict;

-- The feed. `version` is that of the event's form.
create table events (
    seq     integer primary key,
    at      integer not null,
    version integer not null,
    event   text    not null                -- JSON
) strict;

create table counters (
    name text primary key,
    next integer not null
) strict, without rowid;

create table cursors (
    name text primary key,
    seq  integer not null
) strict, without rowid;

create table meta (
    key   text primary key,
    value text not null
) strict, without rowid;

-- One row: where the committer stands. `session` counts openings for writing, `batch` the commits within one.
create table current (
    id      integer primary key check (id = 1),
    session integer not null,
    batch   integer not null,
    seq     integer not null,
    at      integer not null,
    config  text    not null,
    probe   blob    not null                -- written to find out whether there is room again
) strict;

insert into current (id, session, batch, seq, at, config, probe) values (1, 0, 0, 0, 0, '', x'');
