-- What fleetbot 0.1 (schema 0002) left behind: a completed task, nothing of it delivered yet.

INSERT INTO events (seq, stream, version, type, at, actor, cause, data, hash) VALUES (
    1, 'agent:claude-1', 1, 'agent.registered', 1764000001000, 'test', '', '{"type":"agent.registered","adapter":"command"}', X'E9B03B942F567AD399C4A6C509D6AB9018DD6EB77401E0289CF70AD07D8720B8'
);

INSERT INTO events (seq, stream, version, type, at, actor, cause, data, hash) VALUES (
    2, 'task:t-old', 1, 'task.created', 1764000002000, 'test', '', '{"type":"task.created","repo":"ann/app","issue":1,"url":"http://forge.example/ann/app/issues/1","author":"ann","traits":{"title":"Add a greeting","labelled":true},"base":"main"}', X'57226AEFF2CAA0EE65E20ABD4E3EB5DD2B09C5C1A675ED9B2F0B93C11D6A64AF'
);

INSERT INTO events (seq, stream, version, type, at, actor, cause, data, hash) VALUES (
    3, 'task:t-old', 2, 'task.assigned', 1764000003000, 'test', '', '{"type":"task.assigned","run":"r-old","agent":"claude-1","attempt":1,"branch":"fleet/1-add-a-greeting"}', X'58837CD76F609895D085BC5611D91E8B99FB2CCF8B5731B1DAD6C5E18136A6EC'
);

INSERT INTO events (seq, stream, version, type, at, actor, cause, data, hash) VALUES (
    4, 'task:t-old', 3, 'task.started', 1764000004000, 'test', '', '{"type":"task.started","run":"r-old"}', X'619F090CA67D5B047C070E282DB5D26A0CD98D4F063A0C805F964F661CE7DAA9'
);

INSERT INTO events (seq, stream, version, type, at, actor, cause, data, hash) VALUES (
    5, 'task:t-old', 4, 'receipt.filed', 1764000005000, 'test', '', '{"type":"receipt.filed","run":"r-old","receipt":{"id":"c-old","pull_request":2,"branch":"fleet/1-add-a-greeting","head":"0123456789abcdef0123456789abcdef01234567","files":["hello.txt"],"summary":"Greets."}}', X'5DC4A138F2E8E54055B63FA44B358AFD89075987BACFC28A4DB0AD47D09544C0'
);

INSERT INTO events (seq, stream, version, type, at, actor, cause, data, hash) VALUES (
    6, 'task:t-old', 5, 'receipt.verified', 1764000006000, 'test', '', '{"type":"receipt.verified","run":"r-old","receipt":"c-old"}', X'D007712EE821223369EF4808F0502BE2878D972DD842F7D90512BC409DE70E83'
);

INSERT INTO events (seq, stream, version, type, at, actor, cause, data, hash) VALUES (
    7, 'task:t-old', 6, 'task.completed', 1764000006000, 'test', '', '{"type":"task.completed","run":"r-old","receipt":"c-old"}', X'A86CB6F04B6068DEA9743A337D72023FF0FAC8092B062A93DE810F8930F71788'
);

INSERT INTO tasks (id, repo, issue, state, run, created_at, data) VALUES (
    't-old', 'ann/app', 1, 'completed', 'r-old', 1764000002000, '{"id":"t-old","version":6,"repo":"ann/app","issue":1,"url":"http://forge.example/ann/app/issues/1","author":"ann","traits":{"title":"Add a greeting","labelled":true},"state":"completed","created_at":1764000002000,"updated_at":1764000006000,"queued_at":1764000002000,"base":"main","branch":"fleet/1-add-a-greeting","attempt":1,"runs":1,"first_assigned_at":1764000003000,"run":"r-old","receipt":"c-old","spent":{}}'
);

INSERT INTO runs (id, task, agent, assigned_at, data, ended_at, input_tokens, output_tokens, cached_tokens, cost_usd) VALUES (
    'r-old', 't-old', 'claude-1', 1764000003000, '{"id":"r-old","task":"t-old","agent":"claude-1","attempt":1,"branch":"fleet/1-add-a-greeting","state":"ended","assigned_at":1764000003000,"number":1,"started_at":1764000004000,"ended_at":1764000006000,"receipt":"c-old","usage":{}}', 1764000006000, 0, 0, 0, NULL
);

INSERT INTO receipts (id, task, filed_at, data) VALUES (
    'c-old', 't-old', 1764000005000, '{"receipt":{"id":"c-old","pull_request":2,"branch":"fleet/1-add-a-greeting","head":"0123456789abcdef0123456789abcdef01234567","files":["hello.txt"],"summary":"Greets."},"task":"t-old","run":"r-old","filed_at":1764000005000,"verdict":"verified","checks":1,"check_at":1764000005000}'
);

INSERT INTO agents (name, data) VALUES (
    'claude-1', '{"name":"claude-1","version":1,"adapter":"command","status":"online","registered_at":1764000001000}'
);

INSERT INTO outbox (position, id, destination, kind, collapse, payload, due_at, seq, state, delivered_at, result) VALUES (
    1, '2.0@1764000002000/forgejo:ann/app#1', 'forgejo:ann/app#1', 'issue_state', 'state', CAST('{"kind":"issue_state","task":{"id":"t-old","version":1,"repo":"ann/app","issue":1,"url":"http://forge.example/ann/app/issues/1","author":"ann","traits":{"title":"Add a greeting","labelled":true},"state":"created","created_at":1764000002000,"updated_at":1764000002000,"queued_at":1764000002000,"base":"main"},"run":null}' AS BLOB), 1764000002000, 2, 'superseded', 0, ''
);

INSERT INTO outbox (position, id, destination, kind, collapse, payload, due_at, seq, state, delivered_at, result) VALUES (
    2, '3.0@1764000003000/matrix:!room:example.org', 'matrix:!room:example.org', 'task_notice', NULL, CAST('{"kind":"task_notice","notice":"assigned","task":{"id":"t-old","version":2,"repo":"ann/app","issue":1,"url":"http://forge.example/ann/app/issues/1","author":"ann","traits":{"title":"Add a greeting","labelled":true},"state":"assigned","created_at":1764000002000,"updated_at":1764000003000,"queued_at":1764000002000,"base":"main","branch":"fleet/1-add-a-greeting","runs":1,"first_assigned_at":1764000003000,"run":"r-old"},"run":{"id":"r-old","task":"t-old","agent":"claude-1","attempt":1,"branch":"fleet/1-add-a-greeting","state":"assigned","assigned_at":1764000003000,"number":1}}' AS BLOB), 1764000003000, 3, 'pending', 0, ''
);

INSERT INTO outbox (position, id, destination, kind, collapse, payload, due_at, seq, state, delivered_at, result) VALUES (
    3, '3.1@1764000003000/forgejo:ann/app#1', 'forgejo:ann/app#1', 'issue_state', 'state', CAST('{"kind":"issue_state","task":{"id":"t-old","version":2,"repo":"ann/app","issue":1,"url":"http://forge.example/ann/app/issues/1","author":"ann","traits":{"title":"Add a greeting","labelled":true},"state":"assigned","created_at":1764000002000,"updated_at":1764000003000,"queued_at":1764000002000,"base":"main","branch":"fleet/1-add-a-greeting","runs":1,"first_assigned_at":1764000003000,"run":"r-old"},"run":{"id":"r-old","task":"t-old","agent":"claude-1","attempt":1,"branch":"fleet/1-add-a-greeting","state":"assigned","assigned_at":1764000003000,"number":1}}' AS BLOB), 1764000003000, 3, 'superseded', 0, ''
);

INSERT INTO outbox (position, id, destination, kind, collapse, payload, due_at, seq, state, delivered_at, result) VALUES (
    4, '4.0@1764000004000/forgejo:ann/app#1', 'forgejo:ann/app#1', 'issue_state', 'state', CAST('{"kind":"issue_state","task":{"id":"t-old","version":3,"repo":"ann/app","issue":1,"url":"http://forge.example/ann/app/issues/1","author":"ann","traits":{"title":"Add a greeting","labelled":true},"state":"running","created_at":1764000002000,"updated_at":1764000004000,"queued_at":1764000002000,"base":"main","branch":"fleet/1-add-a-greeting","attempt":1,"runs":1,"first_assigned_at":1764000003000,"run":"r-old"},"run":{"id":"r-old","task":"t-old","agent":"claude-1","attempt":1,"branch":"fleet/1-add-a-greeting","state":"running","assigned_at":1764000003000,"number":1,"started_at":1764000004000}}' AS BLOB), 1764000004000, 4, 'superseded', 0, ''
);

INSERT INTO outbox (position, id, destination, kind, collapse, payload, due_at, seq, state, delivered_at, result) VALUES (
    5, '5.0@1764000005000/forgejo:ann/app#1', 'forgejo:ann/app#1', 'issue_state', 'state', CAST('{"kind":"issue_state","task":{"id":"t-old","version":4,"repo":"ann/app","issue":1,"url":"http://forge.example/ann/app/issues/1","author":"ann","traits":{"title":"Add a greeting","labelled":true},"state":"running","created_at":1764000002000,"updated_at":1764000005000,"queued_at":1764000002000,"base":"main","branch":"fleet/1-add-a-greeting","attempt":1,"runs":1,"first_assigned_at":1764000003000,"run":"r-old","receipt":"c-old"},"run":{"id":"r-old","task":"t-old","agent":"claude-1","attempt":1,"branch":"fleet/1-add-a-greeting","state":"running","assigned_at":1764000003000,"number":1,"started_at":1764000004000,"receipt":"c-old","usage":{}},"pull_request":2}' AS BLOB), 1764000005000, 5, 'superseded', 0, ''
);

INSERT INTO outbox (position, id, destination, kind, collapse, payload, due_at, seq, state, delivered_at, result) VALUES (
    6, '5.1@1764000005000/forgejo:ann/app@0123456789abcdef0123456789abcdef01234567', 'forgejo:ann/app@0123456789abcdef0123456789abcdef01234567', 'commit_status', 'status', CAST('{"kind":"commit_status","repo":"ann/app","sha":"0123456789abcdef0123456789abcdef01234567","state":"pending","description":"Checking the agent''s receipt","target_url":"http://forge.example/ann/app/issues/1"}' AS BLOB), 1764000005000, 5, 'delivered', 1764000005000, 'undeliverable: POST /statuses -> 404'
);

INSERT INTO outbox (position, id, destination, kind, collapse, payload, due_at, seq, state, delivered_at, result) VALUES (
    7, '6.0@1764000006000/forgejo:ann/app@0123456789abcdef0123456789abcdef01234567', 'forgejo:ann/app@0123456789abcdef0123456789abcdef01234567', 'commit_status', 'status', CAST('{"kind":"commit_status","repo":"ann/app","sha":"0123456789abcdef0123456789abcdef01234567","state":"success","description":"The receipt holds","target_url":"http://forge.example/ann/app/issues/1"}' AS BLOB), 1764000006000, 6, 'pending', 0, ''
);

INSERT INTO outbox (position, id, destination, kind, collapse, payload, due_at, seq, state, delivered_at, result) VALUES (
    8, '6.1@1764000006000/forgejo:ann/app#1', 'forgejo:ann/app#1', 'receipt_comment', NULL, CAST('{"kind":"receipt_comment","task":{"id":"t-old","version":5,"repo":"ann/app","issue":1,"url":"http://forge.example/ann/app/issues/1","author":"ann","traits":{"title":"Add a greeting","labelled":true},"state":"running","created_at":1764000002000,"updated_at":1764000006000,"queued_at":1764000002000,"base":"main","branch":"fleet/1-add-a-greeting","attempt":1,"runs":1,"first_assigned_at":1764000003000,"run":"r-old","receipt":"c-old"},"run":{"id":"r-old","task":"t-old","agent":"claude-1","attempt":1,"branch":"fleet/1-add-a-greeting","state":"running","assigned_at":1764000003000,"number":1,"started_at":1764000004000,"receipt":"c-old","usage":{}},"receipt":{"receipt":{"id":"c-old","pull_request":2,"branch":"fleet/1-add-a-greeting","head":"0123456789abcdef0123456789abcdef01234567","files":["hello.txt"],"summary":"Greets."},"task":"t-old","run":"r-old","filed_at":1764000005000,"verdict":"verified","checks":1,"check_at":1764000005000}}' AS BLOB), 1764000006000, 6, 'delivered', 1764000006000, 'undeliverable: GET /issues/1 -> 404'
);

INSERT INTO outbox (position, id, destination, kind, collapse, payload, due_at, seq, state, delivered_at, result) VALUES (
    9, '7.0@1764000006000/matrix:!room:example.org', 'matrix:!room:example.org', 'task_notice', NULL, CAST('{"kind":"task_notice","notice":"completed","task":{"id":"t-old","version":6,"repo":"ann/app","issue":1,"url":"http://forge.example/ann/app/issues/1","author":"ann","traits":{"title":"Add a greeting","labelled":true},"state":"completed","created_at":1764000002000,"updated_at":1764000006000,"queued_at":1764000002000,"base":"main","branch":"fleet/1-add-a-greeting","attempt":1,"runs":1,"first_assigned_at":1764000003000,"run":"r-old","receipt":"c-old","spent":{}},"run":{"id":"r-old","task":"t-old","agent":"claude-1","attempt":1,"branch":"fleet/1-add-a-greeting","state":"ended","assigned_at":1764000003000,"number":1,"started_at":1764000004000,"ended_at":1764000006000,"receipt":"c-old","usage":{}},"pull_request":2,"summary":"Greets."}' AS BLOB), 1764000006000, 7, 'pending', 0, ''
);

INSERT INTO outbox (position, id, destination, kind, collapse, payload, due_at, seq, state, delivered_at, result) VALUES (
    10, '7.1@1764000006000/forgejo:ann/app#1', 'forgejo:ann/app#1', 'issue_state', 'state', CAST('{"kind":"issue_state","task":{"id":"t-old","version":6,"repo":"ann/app","issue":1,"url":"http://forge.example/ann/app/issues/1","author":"ann","traits":{"title":"Add a greeting","labelled":true},"state":"completed","created_at":1764000002000,"updated_at":1764000006000,"queued_at":1764000002000,"base":"main","branch":"fleet/1-add-a-greeting","attempt":1,"runs":1,"first_assigned_at":1764000003000,"run":"r-old","receipt":"c-old","spent":{}},"run":{"id":"r-old","task":"t-old","agent":"claude-1","attempt":1,"branch":"fleet/1-add-a-greeting","state":"ended","assigned_at":1764000003000,"number":1,"started_at":1764000004000,"ended_at":1764000006000,"receipt":"c-old","usage":{}},"pull_request":2}' AS BLOB), 1764000006000, 7, 'pending', 0, ''
);
