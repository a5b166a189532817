CREATE TABLE account_events (
	owner VARCHAR NOT NULL, 
	number BIGINT NOT NULL, 
	cause VARCHAR NOT NULL, 
	event VARCHAR NOT NULL, 
	job_id VARCHAR, 
	data JSON, 
	created_at DATETIME NOT NULL, 
	PRIMARY KEY (owner, number), 
	UNIQUE (cause)
);

CREATE TABLE api_key_secrets (
	prefix VARCHAR NOT NULL, 
	key_id VARCHAR NOT NULL, 
	digest VARCHAR NOT NULL, 
	created_at DATETIME NOT NULL, 
	expires_at DATETIME, digest_key VARCHAR, 
	PRIMARY KEY (prefix)
);

CREATE TABLE api_keys (
	id VARCHAR NOT NULL, 
	owner VARCHAR NOT NULL, 
	name VARCHAR NOT NULL, 
	scopes JSON NOT NULL, 
	tier VARCHAR(16), 
	created_by VARCHAR NOT NULL, 
	created_at DATETIME NOT NULL, 
	expires_at DATETIME, 
	revoked_at DATETIME, 
	last_used_at DATETIME, 
	PRIMARY KEY (id)
);

CREATE TABLE artifacts (
	id VARCHAR NOT NULL, 
	job_id VARCHAR NOT NULL, 
	name VARCHAR NOT NULL, 
	body JSON NOT NULL, 
	created_at DATETIME NOT NULL, 
	PRIMARY KEY (id)
);

CREATE TABLE attempts (
	job_id VARCHAR NOT NULL, 
	step VARCHAR NOT NULL, 
	agent VARCHAR NOT NULL, 
	call INTEGER DEFAULT '1' NOT NULL, 
	run_id VARCHAR DEFAULT '' NOT NULL, 
	attempt INTEGER NOT NULL, 
	status VARCHAR(16) NOT NULL, 
	started_at DATETIME, 
	completed_at DATETIME, 
	error JSON, 
	model VARCHAR, 
	prompt_tokens INTEGER, 
	completion_tokens INTEGER, 
	cost FLOAT, 
	provider_cost FLOAT, 
	owner VARCHAR, claimed_tokens BIGINT, claimed_until DATETIME, 
	PRIMARY KEY (job_id, step, agent, call, run_id, attempt)
);

CREATE TABLE audit (
	id INTEGER NOT NULL, 
	at DATETIME NOT NULL, 
	principal VARCHAR NOT NULL, 
	key_id VARCHAR, 
	action VARCHAR NOT NULL, 
	path VARCHAR NOT NULL, 
	status INTEGER NOT NULL, 
	address VARCHAR, 
	request_id VARCHAR NOT NULL, surface VARCHAR, calls INTEGER DEFAULT '1' NOT NULL, digest VARCHAR, 
	PRIMARY KEY (id)
);

CREATE TABLE audit_chain (
	id INTEGER NOT NULL, 
	number INTEGER NOT NULL, 
	digest VARCHAR NOT NULL, 
	unchained INTEGER NOT NULL, 
	pruned INTEGER NOT NULL, 
	pruned_digest VARCHAR NOT NULL, 
	broken INTEGER, 
	sealed_by VARCHAR NOT NULL, 
	seal VARCHAR NOT NULL, 
	PRIMARY KEY (id)
);

CREATE TABLE configurations (
	id VARCHAR NOT NULL, 
	owner VARCHAR NOT NULL, 
	name VARCHAR NOT NULL, 
	description VARCHAR, 
	framework VARCHAR NOT NULL, 
	configuration JSON NOT NULL, 
	template BOOLEAN NOT NULL, 
	public BOOLEAN NOT NULL, 
	usage_count INTEGER NOT NULL, 
	created_at DATETIME NOT NULL, 
	updated_at DATETIME NOT NULL, 
	PRIMARY KEY (id)
);

CREATE TABLE deliveries (
	id VARCHAR NOT NULL, 
	webhook_id VARCHAR, 
	owner VARCHAR NOT NULL, 
	job_id VARCHAR, 
	event VARCHAR NOT NULL, 
	url VARCHAR NOT NULL, 
	message_id VARCHAR NOT NULL, 
	data JSON, 
	state VARCHAR(16) NOT NULL, 
	started BOOLEAN NOT NULL, 
	attempts INTEGER NOT NULL, 
	created_at DATETIME NOT NULL, 
	next_attempt_at DATETIME, 
	completed_at DATETIME, 
	PRIMARY KEY (id)
);

CREATE TABLE delivery_attempts (
	delivery_id VARCHAR NOT NULL, 
	number INTEGER NOT NULL, 
	at DATETIME NOT NULL, 
	verdict VARCHAR NOT NULL, 
	status INTEGER, 
	error VARCHAR, 
	duration FLOAT NOT NULL, 
	PRIMARY KEY (delivery_id, number)
);

CREATE TABLE idempotency_keys (
	owner VARCHAR NOT NULL, 
	"key" VARCHAR NOT NULL, 
	request_digest VARCHAR NOT NULL, 
	claim VARCHAR NOT NULL, 
	claimed_until DATETIME NOT NULL, 
	answer VARCHAR, 
	created_at DATETIME NOT NULL, 
	PRIMARY KEY (owner, "key")
);

CREATE TABLE installation (
	name VARCHAR NOT NULL, 
	value VARCHAR NOT NULL, 
	PRIMARY KEY (name)
);

CREATE TABLE job_labels (
	label VARCHAR NOT NULL, 
	created_at DATETIME NOT NULL, 
	job_id VARCHAR NOT NULL, owner VARCHAR, kind VARCHAR(16), definition VARCHAR, state VARCHAR(16), cost FLOAT, 
	PRIMARY KEY (label, created_at, job_id)
)
 WITHOUT ROWID;

CREATE TABLE jobs (
	id VARCHAR NOT NULL, 
	kind VARCHAR(16) NOT NULL, 
	definition VARCHAR NOT NULL, 
	name VARCHAR NOT NULL, 
	owner VARCHAR NOT NULL, 
	state VARCHAR(16) NOT NULL, 
	progress INTEGER NOT NULL, 
	job_input JSON NOT NULL, 
	webhook_url VARCHAR, 
	request_hash VARCHAR NOT NULL, 
	start_state VARCHAR(16) NOT NULL, 
	run_id VARCHAR, 
	namespace_id VARCHAR, 
	total_calls INTEGER NOT NULL, 
	created_at DATETIME NOT NULL, 
	started_at DATETIME, 
	closed_at DATETIME, 
	error JSON, 
	result JSON, 
	snapshot JSON, 
	events JSON, 
	checked_at DATETIME, subject VARCHAR, checked_history VARCHAR, reopened_at DATETIME, retry_of VARCHAR, retry_root VARCHAR, reused_calls INTEGER DEFAULT '0' NOT NULL, reason_code VARCHAR(32), reason_message VARCHAR, reason_since DATETIME, reason_seen DATETIME, reserved_tokens BIGINT DEFAULT '0' NOT NULL, labels VARCHAR, reason_people VARCHAR, cost FLOAT, 
	PRIMARY KEY (id)
);

CREATE TABLE orchestrator_schema_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT orchestrator_schema_version_pkc PRIMARY KEY (version_num)
);

CREATE TABLE pruned_attempts (
	agent VARCHAR NOT NULL, 
	status VARCHAR(16) NOT NULL, 
	number BIGINT NOT NULL, 
	prompt BIGINT NOT NULL, 
	completion BIGINT NOT NULL, 
	micro_usd BIGINT, 
	PRIMARY KEY (agent, status)
);

CREATE TABLE pruned_deliveries (
	event VARCHAR NOT NULL, 
	state VARCHAR(16) NOT NULL, 
	number BIGINT NOT NULL, 
	PRIMARY KEY (event, state)
);

CREATE TABLE pruned_delivery_attempts (
	verdict VARCHAR NOT NULL, 
	number BIGINT NOT NULL, 
	PRIMARY KEY (verdict)
);

CREATE TABLE pruned_jobs (
	kind VARCHAR(16) NOT NULL, 
	definition VARCHAR NOT NULL, 
	state VARCHAR(16) NOT NULL, 
	duration INTEGER NOT NULL, 
	wait INTEGER NOT NULL, 
	number BIGINT NOT NULL, 
	duration_ms BIGINT NOT NULL, 
	wait_ms BIGINT NOT NULL, 
	PRIMARY KEY (kind, definition, state, duration, wait)
);

CREATE TABLE refresh_tokens (
	id VARCHAR NOT NULL, 
	family VARCHAR NOT NULL, 
	subject VARCHAR NOT NULL, 
	expires_at DATETIME NOT NULL, 
	used_at DATETIME, 
	revoked_at DATETIME, 
	PRIMARY KEY (id)
);

CREATE TABLE schedules (
	id VARCHAR NOT NULL, 
	owner VARCHAR NOT NULL, 
	kind VARCHAR(16) NOT NULL, 
	name VARCHAR NOT NULL, 
	key_id VARCHAR, 
	tier VARCHAR(16), 
	request_hash VARCHAR NOT NULL, 
	created_at DATETIME NOT NULL, 
	updated_at DATETIME NOT NULL, 
	PRIMARY KEY (id)
);

CREATE TABLE user_agents (
	id VARCHAR NOT NULL, 
	owner VARCHAR NOT NULL, 
	name VARCHAR NOT NULL, 
	description VARCHAR, 
	framework VARCHAR NOT NULL, 
	configuration JSON NOT NULL, 
	tags JSON NOT NULL, 
	active BOOLEAN NOT NULL, 
	created_at DATETIME NOT NULL, 
	updated_at DATETIME NOT NULL, 
	deleted_at DATETIME, 
	PRIMARY KEY (id)
);

CREATE TABLE "users" (
	username VARCHAR NOT NULL, 
	password_hash VARCHAR NOT NULL, 
	roles JSON NOT NULL, 
	created_at DATETIME NOT NULL, 
	id VARCHAR NOT NULL, 
	PRIMARY KEY (username)
);

CREATE TABLE webhooks (
	id VARCHAR NOT NULL, 
	owner VARCHAR NOT NULL, 
	url VARCHAR NOT NULL, 
	events JSON NOT NULL, 
	secret VARCHAR NOT NULL, 
	previous_secret VARCHAR, 
	previous_until DATETIME, 
	disabled_at DATETIME, 
	disabled_reason VARCHAR, 
	created_at DATETIME NOT NULL, 
	updated_at DATETIME NOT NULL, key_id VARCHAR, 
	PRIMARY KEY (id)
);

CREATE INDEX ix_account_events_created_at ON account_events (created_at);

CREATE INDEX ix_api_key_secrets_key_id ON api_key_secrets (key_id);

CREATE INDEX ix_api_keys_owner ON api_keys (owner);

CREATE INDEX ix_artifacts_created_at ON artifacts (created_at);

CREATE INDEX ix_artifacts_job_id ON artifacts (job_id);

CREATE INDEX ix_attempts_agent_completed ON attempts (agent, completed_at, status, owner, started_at, prompt_tokens, completion_tokens, cost) WHERE completed_at IS NOT NULL;

CREATE INDEX ix_attempts_agent_started ON attempts (agent, started_at);

CREATE INDEX ix_attempts_completed ON attempts (completed_at) WHERE completed_at IS NOT NULL;

CREATE INDEX ix_attempts_lost ON attempts (started_at) WHERE completed_at IS NULL;

CREATE INDEX ix_attempts_owner_completed ON attempts (owner, completed_at);

CREATE INDEX ix_audit_principal ON audit (principal, id);

CREATE INDEX ix_configurations_owner ON configurations (owner, created_at, id);

CREATE INDEX ix_deliveries_completed ON deliveries (completed_at) WHERE completed_at IS NOT NULL;

CREATE INDEX ix_deliveries_event ON deliveries (event, state);

CREATE INDEX ix_deliveries_job ON deliveries (job_id);

CREATE INDEX ix_deliveries_pending ON deliveries (created_at) WHERE state = 'pending';

CREATE INDEX ix_deliveries_webhook ON deliveries (webhook_id, created_at, id, state);

CREATE INDEX ix_delivery_attempts_verdict ON delivery_attempts (verdict);

CREATE INDEX ix_idempotency_keys_created_at ON idempotency_keys (created_at);

CREATE INDEX ix_job_labels_cost ON job_labels (label, state, cost, job_id, owner, kind, definition, created_at);

CREATE INDEX ix_job_labels_job ON job_labels (job_id);

CREATE INDEX ix_jobs_closed ON jobs (closed_at, kind, definition, state, owner, created_at, started_at, id) WHERE closed_at IS NOT NULL;

CREATE INDEX ix_jobs_cost ON jobs (state, cost, id, owner, kind, definition, created_at) WHERE cost IS NOT NULL;

CREATE INDEX ix_jobs_created ON jobs (created_at, id);

CREATE INDEX ix_jobs_definition_cost ON jobs (definition, state, cost, id, owner, kind, created_at) WHERE cost IS NOT NULL;

CREATE INDEX ix_jobs_definition_created ON jobs (definition, kind, created_at, id, state);

CREATE INDEX ix_jobs_events ON jobs (closed_at) WHERE events IS NOT NULL;

CREATE INDEX ix_jobs_failed ON jobs (created_at, id, owner, state, retry_root, kind, definition) WHERE (state || '') IN ('FAILED', 'TIMEOUT');

CREATE INDEX ix_jobs_id_end ON jobs (substr(id, length(id) - 5));

CREATE INDEX ix_jobs_owner_closed ON jobs (owner, closed_at) WHERE closed_at IS NOT NULL;

CREATE INDEX ix_jobs_owner_cost ON jobs (owner, state, cost, id, kind, definition, created_at) WHERE cost IS NOT NULL;

CREATE INDEX ix_jobs_owner_created ON jobs (owner, created_at, id);

CREATE INDEX ix_jobs_owner_definition_created ON jobs (owner, definition, kind, created_at, id, state);

CREATE INDEX ix_jobs_owner_state_created ON jobs (owner, state, created_at, id);

CREATE INDEX ix_jobs_owner_subject_created ON jobs (owner, created_at, id, subject, definition, state) WHERE subject IS NOT NULL;

CREATE INDEX ix_jobs_reason ON jobs (reason_code, created_at, id, owner, state, kind, definition) WHERE reason_code IS NOT NULL;

CREATE INDEX ix_jobs_reason_people ON jobs (created_at, id) WHERE reason_people IS NOT NULL;

CREATE INDEX ix_jobs_retry_of ON jobs (retry_of) WHERE retry_of IS NOT NULL;

CREATE INDEX ix_jobs_retry_root ON jobs (retry_root, state, created_at) WHERE retry_root IS NOT NULL;

CREATE INDEX ix_jobs_state_created ON jobs (state, created_at, id);

CREATE INDEX ix_jobs_subject_created ON jobs (subject, created_at, id, owner, definition, state) WHERE subject IS NOT NULL;

CREATE INDEX ix_jobs_unfinished ON jobs (created_at) WHERE snapshot IS NULL;

CREATE INDEX ix_refresh_tokens_expires_at ON refresh_tokens (expires_at);

CREATE INDEX ix_refresh_tokens_family ON refresh_tokens (family);

CREATE INDEX ix_refresh_tokens_subject ON refresh_tokens (subject);

CREATE INDEX ix_schedules_created_at ON schedules (created_at, id);

CREATE INDEX ix_schedules_owner ON schedules (owner, created_at, id);

CREATE INDEX ix_user_agents_owner ON user_agents (owner, created_at, id);

CREATE UNIQUE INDEX ix_users_id ON users (id);

CREATE INDEX ix_webhooks_owner ON webhooks (owner);

CREATE TRIGGER audit_chain_goes_on BEFORE UPDATE ON audit_chain
    WHEN NEW.id <> 1 OR NEW.seal = '' OR (OLD.broken IS NOT NULL AND NEW.broken IS NOT OLD.broken)
    OR (NEW.broken IS NULL AND (NEW.number < OLD.number OR NEW.pruned < OLD.pruned OR NEW.pruned > NEW.number
        OR NEW.unchained <> OLD.unchained))
    BEGIN SELECT RAISE(ABORT, 'the audit trail is a chain'); END;

CREATE TRIGGER audit_chain_is_kept BEFORE DELETE ON audit_chain
    BEGIN SELECT RAISE(ABORT, 'the audit trail is a chain'); END;

CREATE TRIGGER audit_chain_is_one BEFORE INSERT ON audit_chain
    WHEN NEW.id <> 1 OR EXISTS (SELECT 1 FROM audit_chain)
    BEGIN SELECT RAISE(ABORT, 'the audit trail is one chain'); END;

CREATE TRIGGER audit_is_chained BEFORE INSERT ON audit
    WHEN NEW.digest IS NULL OR NOT EXISTS (SELECT 1 FROM audit_chain WHERE id = 1 AND NEW.id > pruned AND NEW.id <= number) OR EXISTS (SELECT 1 FROM audit WHERE id = NEW.id)
    BEGIN SELECT RAISE(ABORT, 'the audit trail is a chain'); END;

CREATE TRIGGER audit_is_kept BEFORE DELETE ON audit WHEN NOT EXISTS (SELECT 1 FROM audit_chain WHERE id = 1 AND OLD.id <= pruned)
    BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END;

CREATE TRIGGER audit_is_never_changed BEFORE UPDATE ON audit
    BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END;

CREATE TRIGGER job_labels_follow_jobs AFTER UPDATE OF state, cost ON jobs
    WHEN NEW.labels IS NOT NULL AND (NEW.state <> OLD.state OR NEW.cost IS NOT OLD.cost)
    BEGIN UPDATE job_labels SET owner = NEW.owner, kind = NEW.kind, definition = NEW.definition, state = NEW.state, cost = NEW.cost WHERE job_id = NEW.id; END;

INSERT INTO orchestrator_schema_version VALUES ('0025');
