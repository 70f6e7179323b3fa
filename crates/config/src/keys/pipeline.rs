//! Keys of `[[pipeline]]`, `[[pipeline.job]]`, and of the tables in them.

use super::{IN_REPOSITORY, Key, SectionKeys, Type, optional, required};

/// `[[pipeline]]`.
pub static PIPELINE: SectionKeys = SectionKeys {
    header: "[[pipeline]]",
    doc: "Several jobs as one thing, with a state of its own. A scheduler starts it with `pipeline = \"NAME\"` in place of `builders`.",
    keys: &[
        required("name", Type::Text, "Its name.", "\"release\""),
        optional(
            "description",
            Type::Text,
            "none",
            "For people; Markdown.",
            "\"Builds, tests and publishes.\"",
        ),
        optional(
            "project",
            Type::Text,
            "\"\"",
            "The project that it belongs to.",
            "\"zlib\"",
        ),
        optional(
            "job",
            Type::Sections(&JOB),
            "those of `in_repository`",
            "Its jobs: see `[[pipeline.job]]`. One at least must be there, unless `in_repository` is.",
            "[{ name = \"test\", builder = \"zlib on linux\" }]",
        ),
        optional(
            "in_repository",
            Type::Inline(&IN_REPOSITORY),
            "none",
            "Its jobs are in a file of the repository: see `[pipeline.in_repository]`.",
            "{ repository = \"https://git.example.org/zlib.git\", builders = [\"check\"] }",
        ),
        optional(
            "properties",
            Type::Table,
            "{}",
            "Properties of the builds of all its jobs (source `Pipeline`). Those of the scheduler, the change and the job take precedence.",
            "{ release = true }",
        ),
        optional(
            "timeout",
            Type::Duration("1s", "366d"),
            "none",
            "How long a run may take, from its first job on. Then it is stopped.",
            "\"6h\"",
        ),
        optional(
            "cancel_superseded",
            Type::Bool,
            "false",
            "Whether a run stops older runs of the pipeline for the same branch of the same repositories.",
            "true",
        ),
        optional(
            "concurrency",
            Type::Inline(&CONCURRENCY),
            "no limit",
            "How many runs are under way at once: see `[pipeline.concurrency]`.",
            "{ group = \"deploy\", limit = 1 }",
        ),
    ],
};

/// `[pipeline.concurrency]`.
pub static CONCURRENCY: SectionKeys = SectionKeys {
    header: "[pipeline.concurrency]",
    doc: "Runs that take turns, also those of other pipelines with the same group.",
    keys: &[
        required(
            "group",
            Type::Text,
            "Name of the group. May hold `%(src::branch)s` and `%(prop:NAME)s`.",
            "\"deploy %(src::branch)s\"",
        ),
        optional(
            "limit",
            Type::Integer(1, 1000, "runs"),
            "1",
            "How many runs are under way at once.",
            "2",
        ),
        optional(
            "when_full",
            Type::Choice(&["queue", "cancel_older"]),
            "\"queue\"",
            "What happens when `limit` runs are under way: a new run waits for its turn, or older ones are stopped.",
            "\"cancel_older\"",
        ),
    ],
};

/// `[[pipeline.job]]`.
pub static JOB: SectionKeys = SectionKeys {
    header: "[[pipeline.job]]",
    doc: "One job of the pipeline above it; with a `matrix`, several. With a `builder` it is a build, with a `pipeline` a run of another pipeline, and with neither it joins others or waits for an approval.",
    keys: JOB_KEYS,
};

/// Its keys, `priority` at the end: a file in a repository does not have that one.
pub(super) const JOB_KEYS: &[Key] = &[
    required(
        "name",
        Type::Text,
        "Its name, unique in the pipeline. May hold `%(matrix:AXIS)s`; where it does not, the jobs of a matrix get their values behind it, as in `test (linux, 3.12)`.",
        "\"test\"",
    ),
    optional(
        "builder",
        Type::Text,
        "none",
        "The builder that builds it. May hold `%(matrix:AXIS)s`.",
        "\"zlib on linux\"",
    ),
    optional(
        "pipeline",
        Type::Text,
        "none",
        "The pipeline that it starts, for the same source.",
        "\"deploy\"",
    ),
    optional(
        "wait",
        Type::Bool,
        "true",
        "Whether the job ends when the run that it started has ended, and like it. Only with `pipeline`.",
        "false",
    ),
    optional(
        "needs",
        Type::Texts,
        "[]",
        "Names of the jobs that must be over before it starts. The name of a job with a matrix means all of its jobs.",
        "[\"compile\"]",
    ),
    optional(
        "needed_by",
        Type::Texts,
        "[]",
        "The same from the other side: jobs that need this one.",
        "[\"publish\"]",
    ),
    optional(
        "needs_on",
        Type::Choice(&["success", "not_failed", "failure", "completion", "always"]),
        "\"success\"",
        "How the jobs that it needs must have ended: all have succeeded (perhaps with warnings), none has failed, one at least has failed, or they are over anyhow; with `always` also when the run is being stopped. If they have not, the job is skipped. An optional job that has failed counts as succeeded here, and a skipped one as neither.",
        "\"completion\"",
    ),
    optional(
        "needs_percent",
        Type::Integer(1, 100, "%"),
        "100",
        "With `needs_on = \"success\"`: the share of the jobs that it needs that must have succeeded.",
        "80",
    ),
    optional(
        "when",
        Type::Inline(&WHEN),
        "always",
        "The job is skipped unless all of this holds: see `[pipeline.job.when]`.",
        "{ branch = \"main\" }",
    ),
    optional(
        "unless",
        Type::Inline(&WHEN),
        "never",
        "The job is skipped if all of this holds. The keys are those of `[pipeline.job.when]`.",
        "{ properties = { quick = true } }",
    ),
    optional(
        "matrix",
        Type::Table,
        "none",
        "Axes with their values. There is a job for each combination; the values are properties of its builds (source `Job`), and stand for `%(matrix:AXIS)s` in names, builders and properties.",
        "{ os = [\"linux\", \"macos\"], python = [\"3.12\", \"3.13\"] }",
    ),
    optional(
        "matrix_exclude",
        Type::Tables,
        "[]",
        "Combinations that are left out: those that have all of these values.",
        "[{ os = \"macos\", python = \"3.12\" }]",
    ),
    optional(
        "optional",
        Type::Bool,
        "false",
        "Whether the run may succeed when the job fails; then it ends with warnings.",
        "true",
    ),
    optional(
        "approval",
        Type::Inline(&APPROVAL),
        "none",
        "Somebody must approve the job before it starts: see `[pipeline.job.approval]`.",
        "{ prompt = \"Publish?\" }",
    ),
    optional(
        "expires",
        Type::Duration("1s", "366d"),
        "never",
        "How long it may wait for its approval, and then for a worker. After that it is over without having been started, and counts as failed.",
        "\"2d\"",
    ),
    optional(
        "timeout",
        Type::Duration("1s", "366d"),
        "none",
        "How long its build may take. Then that is stopped, and the job has failed.",
        "\"1h\"",
    ),
    optional(
        "retry",
        Type::Inline(&RETRY),
        "none",
        "When it is tried again after it has failed: see `[pipeline.job.retry]`.",
        "{ limit = 2, on = [\"infrastructure\"] }",
    ),
    optional(
        "properties",
        Type::Table,
        "{}",
        "Properties of its builds (source `Job`). Texts may hold `%(matrix:AXIS)s`.",
        "{ target = \"check\" }",
    ),
    optional(
        "outputs",
        Type::Texts,
        "[]",
        "Names of properties of its build that the jobs which need it get. Of a started pipeline: of outputs of its jobs.",
        "[\"version\"]",
    ),
    optional(
        "priority",
        Type::Integer(-1_000_000, 1_000_000, ""),
        "the scheduler's",
        "Priority of its requests; higher goes first.",
        "10",
    ),
];

/// `[pipeline.job.when]`.
pub static WHEN: SectionKeys = SectionKeys {
    header: "[pipeline.job.when]",
    doc: "Something that holds of a run or not. All that is given must hold. `unless` has the same keys.",
    keys: &[
        optional(
            "branch",
            Type::TextOrTexts,
            "any",
            "Globs: one of them matches the branch.",
            "[\"main\", \"release/*\"]",
        ),
        optional(
            "files",
            Type::TextOrTexts,
            "any",
            "Globs: one of them matches a changed file. Where nothing is known of changed files, as in a forced run, this holds.",
            "[\"src/**\"]",
        ),
        optional(
            "properties",
            Type::Table,
            "{}",
            "Properties of the run or outputs of the jobs that are needed, each with its value or a list of values.",
            "{ deploy = true }",
        ),
        optional(
            "results",
            Type::Table,
            "{}",
            "Jobs that are needed, each with a result or a list of results: `success`, `warnings`, `failure`, `skipped`, `exception` or `cancelled`. Of a matrix, one job at least must have such a result. Mind `needs_on`: by default a job is skipped anyhow when one that it needs has failed.",
            "{ test = [\"failure\", \"exception\"] }",
        ),
    ],
};

/// `[pipeline.job.approval]`.
pub static APPROVAL: SectionKeys = SectionKeys {
    header: "[pipeline.job.approval]",
    doc: "Who may let a job start.",
    keys: &[
        optional(
            "prompt",
            Type::Text,
            "\"\"",
            "What they are asked.",
            "\"Publish this?\"",
        ),
        optional(
            "users",
            Type::Texts,
            "whoever may control the master",
            "Names of the users who may. There is only one login so far, the administrator's: `admin` on the pages and with the token, `local` through the socket in the state directory.",
            "[\"admin\"]",
        ),
    ],
};

/// `[pipeline.job.retry]`.
pub static RETRY: SectionKeys = SectionKeys {
    header: "[pipeline.job.retry]",
    doc: "When a job that has failed is tried again. A build that is lost with its worker does not count as failed until the builder's own `attempts` are used up.",
    keys: &[
        required(
            "limit",
            Type::Integer(1, 100, "times"),
            "How many times more.",
            "2",
        ),
        optional(
            "on",
            Type::Texts,
            "[\"any\"]",
            "After what: `infrastructure` (all attempts of the builder were lost), `exit_code` (a command failed, or was ended by a signal), `timeout`, or `any`.",
            "[\"infrastructure\", \"timeout\"]",
        ),
    ],
};
