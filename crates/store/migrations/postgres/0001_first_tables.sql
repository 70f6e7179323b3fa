-- The tables of the nouns, the feed, and what the committer keeps for itself: the same as on SQLite, as PostgreSQL likes them.
--
-- Times are microseconds since 1970 (UTC). Ids come from `counters` and are never reused. `complete_at is null` means
-- that something is active: partial indexes over that keep a start-up independent of the length of history.
-- Texts are ordered by their bytes. JSON is kept as text, since what is read must be what was written, to the last digit.
-- Rows that are updated leave room on their pages, so that most updates need not touch an index.

-- Members of a JSON object that are added or replaced; the text of the values stays as it is.
create function json_merged(old text, new text) returns text language sql immutable as $$
    select '{' || coalesce(string_agg(to_json(m.key)::text || ':' || m.value::text, ',' order by m.key collate "C"), '') || '}'
    from (
        select o.key, o.value from json_each(old::json) o
        where o.key not in (select n.key from json_each(new::json) n)
        union all
        select n.key, n.value from json_each(new::json) n
    ) m
$$;

-- For `ironmaster fsck`.
create function json_valid(value text) returns boolean language plpgsql immutable as $$
begin
    perform value::json;
    return true;
exception when others then
    return false;
end
$$;

create table masters (
    id          bigint  primary key,
    name        text collate "C" not null unique,
    active      boolean not null,
    last_active bigint  not null,
    lease       bigint  not null,           -- microseconds
    draining    boolean not null
) with (fillfactor = 50);

create table builders (
    id          bigint  primary key,
    name        text collate "C" not null unique,
    description text collate "C",
    tags        text collate "C" not null,           -- JSON list of texts
    active      boolean not null,
    next_number bigint  not null,
    project     bigint
) with (fillfactor = 80);

create table workers (
    id              bigint  primary key,
    name            text collate "C" not null unique,
    active          boolean not null,
    builders        text collate "C" not null,       -- JSON list of ids
    paused          boolean not null,
    pause_reason    text collate "C",
    graceful        boolean not null,
    downtime        text collate "C" not null,       -- JSON
    killed          boolean not null,
    slots           bigint  not null,
    instance        text collate "C",                   -- with the next three null until it first connected
    boot            text collate "C",
    resumes         boolean,
    connected       boolean,
    disconnected_at bigint,
    missing         boolean not null,
    info            text collate "C" not null        -- JSON
) with (fillfactor = 50);

create table schedulers (
    id      bigint  primary key,
    name    text collate "C" not null unique,
    active  boolean not null,
    enabled boolean not null,
    state   text collate "C" not null                -- JSON
) with (fillfactor = 50);

create table changesources (
    id     bigint  primary key,
    name   text collate "C" not null unique,
    active boolean not null
);

create table projects (
    id          bigint  primary key,
    name        text collate "C" not null unique,
    description text collate "C",
    active      boolean not null
);

create table codebases (
    id      bigint  primary key,
    name    text collate "C" not null unique,
    project bigint  not null,
    active  boolean not null
);

create table sourcestamps (
    id            bigint  primary key,
    branch        text collate "C",
    revision      text collate "C",
    repository    text collate "C" not null,
    project       text collate "C" not null,
    codebase      text collate "C" not null,
    patch_level   bigint,
    patch_subdir  text collate "C",
    patch_author  text collate "C",
    patch_comment text collate "C",
    created_at    bigint  not null,
    patch_body    text collate "C"
);

create table changes (
    id          bigint  primary key,
    author      text collate "C" not null,
    committer   text collate "C",
    revision    text collate "C",
    branch      text collate "C",
    category    text collate "C",
    revlink     text collate "C",
    repository  text collate "C" not null,
    project     text collate "C" not null,
    codebase    text collate "C" not null,
    when_at     bigint  not null,
    sourcestamp bigint  not null references sourcestamps (id) deferrable initially deferred,
    parent      bigint,
    comments    text collate "C" not null,
    files       text collate "C" not null,           -- JSON list of texts
    properties  text collate "C" not null            -- JSON object: name to [value, source]
);

create index changes_sourcestamp on changes (sourcestamp);
create index changes_when        on changes (when_at);

create table buildsets (
    id                  bigint  primary key,
    external_id         text collate "C",
    reason              text collate "C" not null,
    scheduler           text collate "C" not null,
    submitted_at        bigint  not null,
    parent_build        bigint,
    parent_relationship text collate "C",
    rebuilt_build       bigint,
    job                 bigint,
    complete_at         bigint,
    results             bigint,
    properties          text collate "C" not null    -- JSON object: name to [value, source]
) with (fillfactor = 85);

create index buildsets_active      on buildsets (id)           where complete_at is null;
create index buildsets_parent      on buildsets (parent_build) where parent_build is not null;
create index buildsets_job         on buildsets (job)          where job is not null;
create index buildsets_external_id on buildsets (external_id)  where external_id is not null;

create table buildset_sourcestamps (
    buildset    bigint  not null references buildsets (id)    deferrable initially deferred,
    position    bigint  not null,
    sourcestamp bigint  not null references sourcestamps (id) deferrable initially deferred,
    primary key (buildset, position)
);

create index buildset_sourcestamps_sourcestamp on buildset_sourcestamps (sourcestamp, buildset);

create table buildset_changes (
    buildset bigint  not null references buildsets (id) deferrable initially deferred,
    position bigint  not null,
    change   bigint  not null references changes (id)   deferrable initially deferred,
    primary key (buildset, position)
);

create index buildset_changes_change on buildset_changes (change, buildset);

create table buildrequests (
    id             bigint  primary key,
    buildset       bigint  not null references buildsets (id) deferrable initially deferred,
    builder        bigint  not null references builders (id)  deferrable initially deferred,
    priority       bigint  not null,
    by_hand        boolean not null,       -- whether somebody has set the priority
    submitted_at   bigint  not null,
    waited_for     boolean not null,
    attempts       bigint  not null,
    claimed_build  bigint,                 -- the claim stays when the request is complete
    claimed_at     bigint,
    claimed_master bigint,
    complete_at    bigint,
    results        bigint,
    cause          text collate "C" -- JSON
) with (fillfactor = 75);

create index buildrequests_buildset     on buildrequests (buildset);
create index buildrequests_builder      on buildrequests (builder);
create index buildrequests_submitted_at on buildrequests (submitted_at);
create index buildrequests_active       on buildrequests (id)      where complete_at is null;
create index buildrequests_active_of    on buildrequests (builder) where complete_at is null;

create table builds (
    id           bigint  primary key,
    number       bigint  not null,
    builder      bigint  not null references builders (id)      deferrable initially deferred,
    request      bigint  not null references buildrequests (id) deferrable initially deferred,
    attempt      bigint  not null,
    worker       bigint  not null references workers (id)       deferrable initially deferred,
    instance     text collate "C" not null,
    slot         bigint  not null,
    master       bigint  not null references masters (id)       deferrable initially deferred,
    config       text collate "C" not null,
    started_at   bigint  not null,
    complete_at  bigint,
    results      bigint,
    cause        text collate "C",                      -- JSON
    state_string text collate "C" not null,
    stop_by      text collate "C",
    stop_reason  text collate "C",
    lost         text collate "C",
    waits        text,
    properties   text collate "C" not null           -- JSON object: name to [value, source]
) with (fillfactor = 80);

create unique index builds_number      on builds (builder, number);
create index        builds_builder     on builds (builder);
create index        builds_request     on builds (request);
create index        builds_worker      on builds (worker);
create index        builds_started_at  on builds (started_at);
create index        builds_complete_at on builds (complete_at nulls first);
create index        builds_active      on builds (builder) where complete_at is null;

create table steps (
    id           bigint  primary key,
    build        bigint  not null references builds (id) deferrable initially deferred,
    number       bigint  not null,
    definition   bigint  not null,
    name         text collate "C" not null,
    started_at   bigint  not null,
    locks_acquired_at bigint,         -- null while it waits for its locks
    complete_at  bigint,
    results      bigint,
    cause        text collate "C",                      -- JSON
    state_string text collate "C" not null,
    urls         text collate "C" not null,          -- JSON list of {name, url}
    hidden       boolean not null
) with (fillfactor = 80);

create unique index steps_number on steps (build, number);

create table logs (
    id        bigint  primary key,
    step      bigint  not null references steps (id) deferrable initially deferred,
    build     bigint  not null,
    name      text collate "C" not null,
    slug      text collate "C" not null,
    kind      text collate "C" not null,
    complete  boolean not null,
    num_lines bigint  not null,
    raw_bytes bigint  not null,
    content   bytea   -- null: the text is in the build's log file
) with (fillfactor = 80);

create unique index logs_slug on logs (step, slug);

create table effects (
    step    bigint  not null,
    ordinal bigint  not null,
    kind    text collate "C" not null,
    digest  text collate "C" not null,
    outcome text collate "C" not null,               -- JSON
    primary key (step, ordinal)
);

create table pipelines (
    id          bigint  primary key,
    name        text collate "C" not null unique,
    active      boolean not null,
    project     text collate "C" not null,
    description text collate "C"
);

create table runs (
    id           bigint  primary key,
    pipeline     bigint  not null references pipelines (id) deferrable initially deferred,
    state        text collate "C" not null,
    results      bigint,
    scheduler    text collate "C" not null,
    priority     bigint  not null,
    parent       bigint,                   -- job of another run
    depth        bigint  not null,
    retried      bigint,                   -- run
    run_group    text collate "C",
    supersedes   text collate "C",
    trusted      boolean not null,
    created_at   bigint  not null,
    started_at   bigint,
    complete_at  bigint,
    stop_by      text collate "C",
    stop_reason  text collate "C",
    why          text collate "C",
    reason       text collate "C" not null,
    sourcestamps text collate "C" not null,          -- JSON list of ids
    changes      text collate "C" not null,          -- JSON list of ids
    files        text collate "C",                      -- JSON list of texts
    properties   text collate "C" not null,          -- JSON object: name to [value, source]
    source       text collate "C",                      -- JSON
    definition   text collate "C" not null           -- JSON
);

create index runs_active   on runs (id)       where complete_at is null;
create index runs_pipeline on runs (pipeline);
create index runs_parent   on runs (parent)   where parent is not null;

create table run_changes (
    run      bigint  not null references runs (id)    deferrable initially deferred,
    position bigint  not null,
    change   bigint  not null references changes (id) deferrable initially deferred,
    primary key (run, position)
);

create index run_changes_change on run_changes (change, run);

create table jobs (
    id          bigint  primary key,
    run         bigint  not null references runs (id) deferrable initially deferred,
    number      bigint  not null,
    name        text collate "C" not null,
    job_group   text collate "C" not null,
    state       text collate "C" not null,
    results     bigint,
    buildset    bigint,
    request     bigint,
    child       bigint,                    -- run
    attempts    bigint  not null,
    timed_out   boolean not null,
    approved_by text collate "C",
    queued_at   bigint,
    started_at  bigint,
    complete_at bigint,
    cause       text collate "C",                       -- JSON
    why         text collate "C",
    added_by    text collate "C",                       -- JSON
    needs       text collate "C" not null,           -- JSON list of numbers
    matrix      text collate "C" not null,           -- JSON object
    outputs     text collate "C" not null,           -- JSON object: name to [value, source]
    definition  text collate "C" not null            -- JSON
);

create unique index jobs_number   on jobs (run, number);
create index        jobs_buildset on jobs (buildset) where buildset is not null;

create table configs (
    digest text collate "C" not null primary key,
    plan   text collate "C" not null                    -- JSON
);

-- The feed. `version` is that of the event's form.
create table events (
    seq     bigint  primary key,
    at      bigint  not null,
    version bigint  not null,
    event   text collate "C" not null                -- JSON
);

create table counters (
    name text collate "C" primary key,
    next bigint  not null
) with (fillfactor = 20);

create table cursors (
    name text collate "C" primary key,
    seq  bigint  not null
) with (fillfactor = 50);

create table meta (
    key   text collate "C" primary key,
    value text collate "C" not null
) with (fillfactor = 50);

-- One row: where the committer stands. `session` counts openings for writing, `batch` the commits within one.
create table current (
    id      bigint  primary key check (id = 1),
    session bigint  not null,
    batch   bigint  not null,
    seq     bigint  not null,
    at      bigint  not null,
    config  text collate "C" not null,
    probe   bytea   not null                -- written to find out whether there is room again
) with (fillfactor = 20);

-- What finds out whether there is room must need some.
alter table current alter column probe set storage external;

insert into current (id, session, batch, seq, at, config, probe) values (1, 0, 0, 0, 0, '', '');
