-- Version 1 of the local store. Times are microseconds since 1970 (UTC); JSON is text with the order of its keys kept.

-- The distinct contents of files; the bytes are in files/<first two digits>/<sha256>.
CREATE TABLE blobs (
    sha256 TEXT PRIMARY KEY CHECK (length(sha256) = 64),
    size INTEGER NOT NULL CHECK (size >= 0)
) STRICT, WITHOUT ROWID;

-- owner names the lock file of the process that runs it.
CREATE TABLE work_requests (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    task_name TEXT NOT NULL,
    task_data TEXT NOT NULL,
    dynamic_task_data TEXT,
    workspace TEXT,
    status TEXT NOT NULL CHECK (status IN ('pending', 'running', 'completed', 'aborted')),
    result TEXT CHECK (result IN ('success', 'failure', 'error', 'skipped')),
    output_data TEXT,
    created_at INTEGER NOT NULL,
    started_at INTEGER,
    completed_at INTEGER,
    owner TEXT,
    CHECK ((status = 'completed') = (result IS NOT NULL)),
    CHECK ((status = 'running') = (owner IS NOT NULL))
) STRICT;

CREATE INDEX work_requests_by_status ON work_requests (status);

CREATE TABLE artifacts (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    category TEXT NOT NULL,
    data TEXT NOT NULL,
    workspace TEXT,
    work_request INTEGER REFERENCES work_requests (id),
    created_at INTEGER NOT NULL
) STRICT;

CREATE INDEX artifacts_by_category ON artifacts (category);
CREATE INDEX artifacts_by_work_request ON artifacts (work_request);

CREATE TABLE artifact_names (
    name TEXT PRIMARY KEY,
    artifact INTEGER NOT NULL REFERENCES artifacts (id)
) STRICT, WITHOUT ROWID;

CREATE INDEX artifact_names_by_artifact ON artifact_names (artifact);

CREATE TABLE artifact_files (
    artifact INTEGER NOT NULL REFERENCES artifacts (id),
    path TEXT NOT NULL,
    sha256 TEXT NOT NULL REFERENCES blobs (sha256),
    PRIMARY KEY (artifact, path)
) STRICT, WITHOUT ROWID;

CREATE INDEX artifact_files_by_content ON artifact_files (sha256);

CREATE TABLE relations (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    from_artifact INTEGER NOT NULL REFERENCES artifacts (id),
    to_artifact INTEGER NOT NULL REFERENCES artifacts (id),
    type TEXT NOT NULL CHECK (type IN ('extends', 'relates-to', 'built-using')),
    UNIQUE (from_artifact, to_artifact, type)
) STRICT;

CREATE INDEX relations_by_target ON relations (to_artifact);

CREATE TABLE collections (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL,
    category TEXT NOT NULL,
    UNIQUE (name, category)
) STRICT;

INSERT INTO collections (name, category) VALUES ('debian', 'debian:environments');

-- An item whose place a newer one of the same name took is retired: kept, but found no more.
CREATE TABLE collection_items (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    collection INTEGER NOT NULL REFERENCES collections (id),
    artifact INTEGER NOT NULL REFERENCES artifacts (id),
    name TEXT NOT NULL,
    data TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    retired_at INTEGER
) STRICT;

CREATE UNIQUE INDEX collection_items_by_name ON collection_items (collection, name) WHERE retired_at IS NULL;

CREATE TABLE settings (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;
