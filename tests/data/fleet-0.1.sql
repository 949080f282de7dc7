-- What fleetbot 0.1 (schema 0002) left behind: tasks in every state, two of them with a receipt that was refuted.

INSERT INTO events (seq, stream, version, type, at, actor, cause, data, hash) VALUES (
    1, 'agent:claude-1', 1, 'agent.registered', 1764000003000, 'test', '', '{"type":"agent.registered","adapter":"command","max_concurrency":9}', X'FC670593CAD72BC33B90260F687767A16CC6D42C8B3BA71A8F4831CA7767D4E9'
);

INSERT INTO events (seq, stream, version, type, at, actor, cause, data, hash) VALUES (
    2, 'task:t1', 1, 'task.created', 1764000004000, 'test', '', '{"type":"task.created","repo":"ann/app","issue":1,"url":"http://forge.example/ann/app/issues/1","author":"ann","traits":{"title":"Add a greeting","labelled":true},"base":"main"}', X'6E506CD01DB7435E52CDA5B5F0E44671901206E359C580C40500E8527915CC73'
);

INSERT INTO events (seq, stream, version, type, at, actor, cause, data, hash) VALUES (
    3, 'task:t2', 1, 'task.created', 1764000005000, 'test', '', '{"type":"task.created","repo":"ann/app","issue":2,"url":"http://forge.example/ann/app/issues/2","author":"ann","traits":{"title":"Add a greeting","labelled":true},"base":"main"}', X'8032191546E70475E6424C9B03DF71F1590F3A9B643C160CBE2FC635E19E415C'
);

INSERT INTO events (seq, stream, version, type, at, actor, cause, data, hash) VALUES (
    4, 'task:t3', 1, 'task.created', 1764000006000, 'test', '', '{"type":"task.created","repo":"ann/app","issue":3,"url":"http://forge.example/ann/app/issues/3","author":"ann","traits":{"title":"Add a greeting","labelled":true},"base":"main"}', X'C343F17C42EAA622B508D8251FB6DAB5897184AA641B9BB84090885A17063E59'
);

INSERT INTO events (seq, stream, version, type, at, actor, cause, data, hash) VALUES (
    5, 'task:t4', 1, 'task.created', 1764000007000, 'test', '', '{"type":"task.created","repo":"ann/app","issue":4,"url":"http://forge.example/ann/app/issues/4","author":"ann","traits":{"title":"Add a greeting","labelled":true},"base":"main"}', X'9FB0ED28D1AC15512C1E78A012A020E89588E99083673A047AA00D834782F657'
);

INSERT INTO events (seq, stream, version, type, at, actor, cause, data, hash) VALUES (
    6, 'task:t5', 1, 'task.created', 1764000008000, 'test', '', '{"type":"task.created","repo":"ann/app","issue":5,"url":"http://forge.example/ann/app/issues/5","author":"ann","traits":{"title":"Add a greeting","labelled":true},"base":"main"}', X'6A2E23AAFF03B69E7ED3AE9F9913B70C1CAA3A1AE92CDFB46300810878D0337D'
);

INSERT INTO events (seq, stream, version, type, at, actor, cause, data, hash) VALUES (
    7, 'task:t6', 1, 'task.created', 1764000009000, 'test', '', '{"type":"task.created","repo":"ann/app","issue":6,"url":"http://forge.example/ann/app/issues/6","author":"ann","traits":{"title":"Add a greeting","labelled":true},"base":"main"}', X'3F66C866F98306D44FE9BE72EE62264F6FAC865DD2E47BB4F3876472DFB09142'
);

INSERT INTO events (seq, stream, version, type, at, actor, cause, data, hash) VALUES (
    8, 'task:t7', 1, 'task.created', 1764000010000, 'test', '', '{"type":"task.created","repo":"Ann/App","issue":7,"url":"http://forge.example/Ann/App/issues/7","author":"ann","traits":{"title":"Add a greeting","labelled":true},"base":"main"}', X'1E90973BCB491BDA99E303459E4AB22CDB9D0FC77DCBDEA6E22E7C0E33EC4A63'
);

INSERT INTO events (seq, stream, version, type, at, actor, cause, data, hash) VALUES (
    9, 'task:t1', 2, 'task.assigned', 1764000011000, 'test', '', '{"type":"task.assigned","run":"r1","agent":"claude-1","attempt":1,"branch":"fleet/1-add-a-greeting"}', X'1D261444BCD55D266E6A8470FEE862AF5CFE661CBAEEF1B4AEC2A6796D46D225'
);

INSERT INTO events (seq, stream, version, type, at, actor, cause, data, hash) VALUES (
    10, 'task:t1', 3, 'task.started', 1764000012000, 'test', '', '{"type":"task.started","run":"r1"}', X'19C30CA5B8EC760925DA8F4F5DAA1D710E648F14A92022DEA2ABA0D78E6E1CEF'
);

INSERT INTO events (seq, stream, version, type, at, actor, cause, data, hash) VALUES (
    11, 'task:t1', 4, 'receipt.filed', 1764000013000, 'test', '', '{"type":"receipt.filed","run":"r1","receipt":{"id":"c1","pull_request":1,"branch":"fleet/1-add-a-greeting","head":"1111111111111111111111111111111111111111","files":["a"],"summary":"Greets."}}', X'4C43B21C846EDDE4DAE747B98D4014BC571EB90C169D4BF66B5E27DFF44EEF46'
);

INSERT INTO events (seq, stream, version, type, at, actor, cause, data, hash) VALUES (
    12, 'task:t1', 5, 'receipt.unknown', 1764000014000, 'test', '', '{"type":"receipt.unknown","run":"r1","receipt":"c1","unread":["The pull request is changing."],"check_at":1764000017981}', X'BB3C2A6529FF42F3DBCE1CC0471E157748038CB1E3C5B5521CD6B8D82313593E'
);

INSERT INTO events (seq, stream, version, type, at, actor, cause, data, hash) VALUES (
    13, 'task:t1', 6, 'receipt.refuted', 1764000075000, 'test', '', '{"type":"receipt.refuted","run":"r1","receipt":"c1","reasons":["The pull request changes nothing: its diff is empty."]}', X'77ABCC6E17C822786334C5D3B4FCC6F83407AA6063C38001E25298A22F296378'
);

INSERT INTO events (seq, stream, version, type, at, actor, cause, data, hash) VALUES (
    14, 'task:t1', 7, 'receipt.filed', 1764000076000, 'test', '', '{"type":"receipt.filed","run":"r1","receipt":{"id":"c2","pull_request":2,"branch":"fleet/1-add-a-greeting","head":"2222222222222222222222222222222222222222","files":["a"],"summary":"Greets."}}', X'40DAC7DAA476DF001A28E7C4D8FC8DC7B63A38A00A9D71D35C01D98D4A098207'
);

INSERT INTO events (seq, stream, version, type, at, actor, cause, data, hash) VALUES (
    15, 'task:t1', 8, 'receipt.verified', 1764000107000, 'test', '', '{"type":"receipt.verified","run":"r1","receipt":"c2"}', X'EAEFFB814F059903B48A5B2FCDC4FDCEC9813FA40C566B2AE0F516F488591D9C'
);

INSERT INTO events (seq, stream, version, type, at, actor, cause, data, hash) VALUES (
    16, 'task:t1', 9, 'task.completed', 1764000107000, 'test', '', '{"type":"task.completed","run":"r1","receipt":"c2"}', X'C7066F2382E0727E865B246C6A9066B006BBC7779D44CC4030421F14E7E88911'
);

INSERT INTO events (seq, stream, version, type, at, actor, cause, data, hash) VALUES (
    17, 'task:t2', 2, 'task.assigned', 1764000108000, 'test', '', '{"type":"task.assigned","run":"r2","agent":"claude-1","attempt":1,"branch":"fleet/2-add-a-greeting"}', X'114B3C9AB121ED75F686D5ED1AFF82F52838581BA17B43D9F1F99A05059336E2'
);

INSERT INTO events (seq, stream, version, type, at, actor, cause, data, hash) VALUES (
    18, 'task:t2', 3, 'task.started', 1764000109000, 'test', '', '{"type":"task.started","run":"r2"}', X'A79DCD3C2092BA3F51772DCF1F9EDFA46A93FBC78381A3690823607C2125FAB3'
);

INSERT INTO events (seq, stream, version, type, at, actor, cause, data, hash) VALUES (
    19, 'task:t2', 4, 'task.failed', 1764000110000, 'test', '', '{"type":"task.failed","run":"r2","reason":"no_changes","detail":"nothing","usage":{"output_tokens":3,"cost_usd":0.1}}', X'351E799A29C2D70882310846653BE48C8F9C5B259910E73E75D8F1311381CD68'
);

INSERT INTO events (seq, stream, version, type, at, actor, cause, data, hash) VALUES (
    20, 'task:t3', 2, 'task.assigned', 1764000111000, 'test', '', '{"type":"task.assigned","run":"r3","agent":"claude-1","attempt":1,"branch":"fleet/3-add-a-greeting"}', X'5DBB0409C0D77618A06D33D416FCBBA46B4D2A068C890ABDDFA3ABED9527EC35'
);

INSERT INTO events (seq, stream, version, type, at, actor, cause, data, hash) VALUES (
    21, 'task:t3', 3, 'task.started', 1764000112000, 'test', '', '{"type":"task.started","run":"r3"}', X'FC10AE1BC81444BD96D5B291EC7FA987E56A7FB68BEFDFD2BFD8DD12AB27F89F'
);

INSERT INTO events (seq, stream, version, type, at, actor, cause, data, hash) VALUES (
    22, 'task:t3', 4, 'receipt.filed', 1764000113000, 'test', '', '{"type":"receipt.filed","run":"r3","receipt":{"id":"c3","pull_request":3,"branch":"fleet/3-add-a-greeting","head":"3333333333333333333333333333333333333333","files":["a"],"summary":"Greets."}}', X'82B50AFFC93E0EE7AE3B2977D708E9C7E18B2EA3C5EC8454153B367425A1F5D1'
);

INSERT INTO events (seq, stream, version, type, at, actor, cause, data, hash) VALUES (
    23, 'task:t3', 5, 'receipt.refuted', 1764000119000, 'test', '', '{"type":"receipt.refuted","run":"r3","receipt":"c3","reasons":["CI."]}', X'FDF3D22292062C863D3A823297E813A6956DBFA932ABB85106A93F12C7AD30E0'
);

INSERT INTO events (seq, stream, version, type, at, actor, cause, data, hash) VALUES (
    24, 'task:t3', 6, 'receipt.filed', 1764000120000, 'test', '', '{"type":"receipt.filed","run":"r3","receipt":{"id":"c4","pull_request":4,"branch":"fleet/3-add-a-greeting","head":"4444444444444444444444444444444444444444","files":["a"],"summary":"Greets."}}', X'9F806047B55DC0AFE7FDB72A1A5527F57A1869DF88D4D2B67BDA284B0B92157D'
);

INSERT INTO events (seq, stream, version, type, at, actor, cause, data, hash) VALUES (
    25, 'task:t3', 7, 'receipt.unknown', 1764000121000, 'test', '', '{"type":"receipt.unknown","run":"r3","receipt":"c4","unread":["CI has not finished."],"check_at":1764000126000}', X'6B0F4D5ADBF3BF6497FFD74A5743B47EC25541F8C763B1EE365D0A48876BB184'
);

INSERT INTO events (seq, stream, version, type, at, actor, cause, data, hash) VALUES (
    26, 'task:t4', 2, 'task.assigned', 1764000122000, 'test', '', '{"type":"task.assigned","run":"r4","agent":"claude-1","attempt":1,"branch":"fleet/4-add-a-greeting"}', X'9CA9C839442F65476FFEE5496999855510B88C6919193488A442A97B6233A5CC'
);

INSERT INTO events (seq, stream, version, type, at, actor, cause, data, hash) VALUES (
    27, 'task:t4', 3, 'task.started', 1764000123000, 'test', '', '{"type":"task.started","run":"r4"}', X'2D6C087AB33269751BD0E81F43FD03145F0222383B14514B1F9E4B3E9E8FAF49'
);

INSERT INTO events (seq, stream, version, type, at, actor, cause, data, hash) VALUES (
    28, 'task:t4', 4, 'run.asked', 1764000124000, 'test', '', '{"type":"run.asked","run":"r4","ask":"q1","kind":"question","title":"Which?","expires_at":1764010123000,"request":"{\"a\": \"b\"}","options":["x","y"]}', X'CB5CBE52D53954AB348B9E14BAFCAF0CB676F155509D98510A323C68CD5CDE9E'
);

INSERT INTO events (seq, stream, version, type, at, actor, cause, data, hash) VALUES (
    29, 'task:t4', 5, 'run.messaged', 1764000125000, 'test', '', '{"type":"run.messaged","run":"r4","message":"m1","text":"Mind é the paint"}', X'6849D8907F747BE864D079913059017189C41B9BACFA63EC416DB93C100AC4FC'
);

INSERT INTO events (seq, stream, version, type, at, actor, cause, data, hash) VALUES (
    30, 'task:t5', 2, 'task.assigned', 1764000126000, 'test', '', '{"type":"task.assigned","run":"r5","agent":"claude-1","attempt":1,"branch":"fleet/5-add-a-greeting"}', X'A9EE88880B935165AEF61413C8144AC131C141CD2F9EB9071A91A236C50486C8'
);

INSERT INTO events (seq, stream, version, type, at, actor, cause, data, hash) VALUES (
    31, 'task:t6', 2, 'task.assigned', 1764000127000, 'test', '', '{"type":"task.assigned","run":"r6","agent":"claude-1","attempt":1,"branch":"fleet/6-add-a-greeting"}', X'6A22DA16981FE268414BD328B2690CCC528210651C731532CE8026C7092824C2'
);

INSERT INTO events (seq, stream, version, type, at, actor, cause, data, hash) VALUES (
    32, 'task:t6', 3, 'task.started', 1764000128000, 'test', '', '{"type":"task.started","run":"r6"}', X'2526F4D46458A93D8A9E0852480B3443206563D8BAD2A1E89336949C3EE5B7CB'
);

INSERT INTO events (seq, stream, version, type, at, actor, cause, data, hash) VALUES (
    33, 'task:t6', 4, 'task.cancelled', 1764000129000, 'test', '', '{"type":"task.cancelled","reason":"issue_closed","usage":{}}', X'58C6DC39A4CF4CE7005390A30D6D55EEF7AE0B510BDCBD06DFE3839841BFFC47'
);

INSERT INTO events (seq, stream, version, type, at, actor, cause, data, hash) VALUES (
    34, 'agent:codex-1', 1, 'agent.registered', 1764000130000, 'test', '', '{"type":"agent.registered","adapter":"command"}', X'C0FA687772A2A3911DD21155439D9DD94406975DD55641151A795B5778F4AD1F'
);

INSERT INTO events (seq, stream, version, type, at, actor, cause, data, hash) VALUES (
    35, 'agent:codex-1', 2, 'agent.deregistered', 1764000131000, 'test', '', '{"type":"agent.deregistered"}', X'C8B315633749B03641557F05F4C905103411E588D05CBFFC8D74805A61752545'
);

INSERT INTO tasks (id, repo, issue, state, run, created_at, data) VALUES (
    't1', 'ann/app', 1, 'completed', 'r1', 1764000004000, '{"id":"t1","version":9,"repo":"ann/app","issue":1,"url":"http://forge.example/ann/app/issues/1","author":"ann","traits":{"title":"Add a greeting","labelled":true},"state":"completed","created_at":1764000004000,"updated_at":1764000107000,"queued_at":1764000004000,"base":"main","branch":"fleet/1-add-a-greeting","attempt":1,"runs":1,"first_assigned_at":1764000011000,"run":"r1","receipt":"c2","spent":{}}'
);

INSERT INTO tasks (id, repo, issue, state, run, created_at, data) VALUES (
    't2', 'ann/app', 2, 'failed', 'r2', 1764000005000, '{"id":"t2","version":4,"repo":"ann/app","issue":2,"url":"http://forge.example/ann/app/issues/2","author":"ann","traits":{"title":"Add a greeting","labelled":true},"state":"failed","created_at":1764000005000,"updated_at":1764000110000,"queued_at":1764000005000,"base":"main","branch":"fleet/2-add-a-greeting","attempt":1,"runs":1,"first_assigned_at":1764000108000,"run":"r2","reason":"no_changes","detail":"nothing","spent":{"output_tokens":3,"cost_usd":0.1}}'
);

INSERT INTO tasks (id, repo, issue, state, run, created_at, data) VALUES (
    't3', 'ann/app', 3, 'running', 'r3', 1764000006000, '{"id":"t3","version":7,"repo":"ann/app","issue":3,"url":"http://forge.example/ann/app/issues/3","author":"ann","traits":{"title":"Add a greeting","labelled":true},"state":"running","created_at":1764000006000,"updated_at":1764000121000,"queued_at":1764000006000,"base":"main","branch":"fleet/3-add-a-greeting","attempt":1,"runs":1,"first_assigned_at":1764000111000,"run":"r3","receipt":"c4","refuted":["CI."]}'
);

INSERT INTO tasks (id, repo, issue, state, run, created_at, data) VALUES (
    't4', 'ann/app', 4, 'running', 'r4', 1764000007000, '{"id":"t4","version":5,"repo":"ann/app","issue":4,"url":"http://forge.example/ann/app/issues/4","author":"ann","traits":{"title":"Add a greeting","labelled":true},"state":"running","created_at":1764000007000,"updated_at":1764000125000,"queued_at":1764000007000,"base":"main","branch":"fleet/4-add-a-greeting","attempt":1,"runs":1,"first_assigned_at":1764000122000,"run":"r4"}'
);

INSERT INTO tasks (id, repo, issue, state, run, created_at, data) VALUES (
    't5', 'ann/app', 5, 'assigned', 'r5', 1764000008000, '{"id":"t5","version":2,"repo":"ann/app","issue":5,"url":"http://forge.example/ann/app/issues/5","author":"ann","traits":{"title":"Add a greeting","labelled":true},"state":"assigned","created_at":1764000008000,"updated_at":1764000126000,"queued_at":1764000008000,"base":"main","branch":"fleet/5-add-a-greeting","runs":1,"first_assigned_at":1764000126000,"run":"r5"}'
);

INSERT INTO tasks (id, repo, issue, state, run, created_at, data) VALUES (
    't6', 'ann/app', 6, 'cancelled', 'r6', 1764000009000, '{"id":"t6","version":4,"repo":"ann/app","issue":6,"url":"http://forge.example/ann/app/issues/6","author":"ann","traits":{"title":"Add a greeting","labelled":true},"state":"cancelled","created_at":1764000009000,"updated_at":1764000129000,"queued_at":1764000009000,"base":"main","branch":"fleet/6-add-a-greeting","attempt":1,"runs":1,"first_assigned_at":1764000127000,"run":"r6","reason":"issue_closed","spent":{}}'
);

INSERT INTO tasks (id, repo, issue, state, run, created_at, data) VALUES (
    't7', 'Ann/App', 7, 'created', NULL, 1764000010000, '{"id":"t7","version":1,"repo":"Ann/App","issue":7,"url":"http://forge.example/Ann/App/issues/7","author":"ann","traits":{"title":"Add a greeting","labelled":true},"state":"created","created_at":1764000010000,"updated_at":1764000010000,"queued_at":1764000010000,"base":"main"}'
);

INSERT INTO runs (id, task, agent, assigned_at, data, ended_at, input_tokens, output_tokens, cached_tokens, cost_usd) VALUES (
    'r1', 't1', 'claude-1', 1764000011000, '{"id":"r1","task":"t1","agent":"claude-1","attempt":1,"branch":"fleet/1-add-a-greeting","state":"ended","assigned_at":1764000011000,"number":1,"started_at":1764000012000,"ended_at":1764000107000,"refutations":1,"receipt":"c2","usage":{}}', 1764000107000, 0, 0, 0, NULL
);

INSERT INTO runs (id, task, agent, assigned_at, data, ended_at, input_tokens, output_tokens, cached_tokens, cost_usd) VALUES (
    'r2', 't2', 'claude-1', 1764000108000, '{"id":"r2","task":"t2","agent":"claude-1","attempt":1,"branch":"fleet/2-add-a-greeting","state":"ended","assigned_at":1764000108000,"number":1,"started_at":1764000109000,"ended_at":1764000110000,"reason":"no_changes","usage":{"output_tokens":3,"cost_usd":0.1}}', 1764000110000, 0, 3, 0, 0.1
);

INSERT INTO runs (id, task, agent, assigned_at, data, ended_at, input_tokens, output_tokens, cached_tokens, cost_usd) VALUES (
    'r3', 't3', 'claude-1', 1764000111000, '{"id":"r3","task":"t3","agent":"claude-1","attempt":1,"branch":"fleet/3-add-a-greeting","state":"running","assigned_at":1764000111000,"number":1,"started_at":1764000112000,"refutations":1,"receipt":"c4","usage":{}}', 0, 0, 0, 0, NULL
);

INSERT INTO runs (id, task, agent, assigned_at, data, ended_at, input_tokens, output_tokens, cached_tokens, cost_usd) VALUES (
    'r4', 't4', 'claude-1', 1764000122000, '{"id":"r4","task":"t4","agent":"claude-1","attempt":1,"branch":"fleet/4-add-a-greeting","state":"running","assigned_at":1764000122000,"number":1,"started_at":1764000123000,"asks":[{"id":"q1","kind":"question","title":"Which?","request":"{\"a\": \"b\"}","options":["x","y"],"asked_at":1764000124000,"expires_at":1764010123000}],"messages":[{"id":"m1","text":"Mind é the paint"}]}', 0, 0, 0, 0, NULL
);

INSERT INTO runs (id, task, agent, assigned_at, data, ended_at, input_tokens, output_tokens, cached_tokens, cost_usd) VALUES (
    'r5', 't5', 'claude-1', 1764000126000, '{"id":"r5","task":"t5","agent":"claude-1","attempt":1,"branch":"fleet/5-add-a-greeting","state":"assigned","assigned_at":1764000126000,"number":1}', 0, 0, 0, 0, NULL
);

INSERT INTO runs (id, task, agent, assigned_at, data, ended_at, input_tokens, output_tokens, cached_tokens, cost_usd) VALUES (
    'r6', 't6', 'claude-1', 1764000127000, '{"id":"r6","task":"t6","agent":"claude-1","attempt":1,"branch":"fleet/6-add-a-greeting","state":"ended","assigned_at":1764000127000,"number":1,"started_at":1764000128000,"ended_at":1764000129000,"reason":"issue_closed"}', 1764000129000, 0, 0, 0, NULL
);

INSERT INTO receipts (id, task, filed_at, data) VALUES (
    'c1', 't1', 1764000013000, '{"receipt":{"id":"c1","pull_request":1,"branch":"fleet/1-add-a-greeting","head":"1111111111111111111111111111111111111111","files":["a"],"summary":"Greets."},"task":"t1","run":"r1","filed_at":1764000013000,"verdict":"refuted","reasons":["The pull request changes nothing: its diff is empty."],"checks":2,"check_at":1764000017981}'
);

INSERT INTO receipts (id, task, filed_at, data) VALUES (
    'c2', 't1', 1764000076000, '{"receipt":{"id":"c2","pull_request":2,"branch":"fleet/1-add-a-greeting","head":"2222222222222222222222222222222222222222","files":["a"],"summary":"Greets."},"task":"t1","run":"r1","filed_at":1764000076000,"verdict":"verified","checks":1,"check_at":1764000076000}'
);

INSERT INTO receipts (id, task, filed_at, data) VALUES (
    'c3', 't3', 1764000113000, '{"receipt":{"id":"c3","pull_request":3,"branch":"fleet/3-add-a-greeting","head":"3333333333333333333333333333333333333333","files":["a"],"summary":"Greets."},"task":"t3","run":"r3","filed_at":1764000113000,"verdict":"refuted","reasons":["CI."],"checks":1,"check_at":1764000113000}'
);

INSERT INTO receipts (id, task, filed_at, data) VALUES (
    'c4', 't3', 1764000120000, '{"receipt":{"id":"c4","pull_request":4,"branch":"fleet/3-add-a-greeting","head":"4444444444444444444444444444444444444444","files":["a"],"summary":"Greets."},"task":"t3","run":"r3","filed_at":1764000120000,"unread":["CI has not finished."],"checks":1,"check_at":1764000126000}'
);

INSERT INTO agents (name, data) VALUES (
    'claude-1', '{"name":"claude-1","version":1,"adapter":"command","status":"online","registered_at":1764000003000,"max_concurrency":9}'
);

INSERT INTO agents (name, data) VALUES (
    'codex-1', '{"name":"codex-1","version":2,"adapter":"command","status":"deregistered","registered_at":1764000130000}'
);
