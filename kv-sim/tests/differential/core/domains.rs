//! What clients of a server with a JetStream domain say.

/// Who may do everything.
pub(super) const OPEN: &[&[&str]] = &[
    &[
        LOGIN,
        "PUB $JS.hub.API.INFO in.1 0\r\n\r\n",
        "PUB $JS.API.INFO in.2 0\r\n\r\n",
        "PUB $JS.leaf.API.INFO in.3 0\r\n\r\nPUB $JS.hub.API.INFO.x in.4 0\r\n\r\n",
        "PUB $JS.hub.API.FOO in.5 0\r\n\r\nPUB $JS.hub.API.STREAM in.6 0\r\n\r\n",
        "PUB $JS.hub.API in.7 0\r\n\r\nPUB $JS.hub.API.$KV in.8 0\r\n\r\nPUB $JS.hub.API.$KV.b.k in.9 0\r\n\r\n",
        "PUB $JS.hub.API.STREAM.FOO in.10 0\r\n\r\nPUB $JS.hub.API.DIRECT.GET.KV_b in.11 0\r\n\r\n",
    ],
    &[
        LOGIN,
        "PUB $JS.hub.API.STREAM.CREATE.KV_b in.1 94\r\n{\"name\":\"KV_b\",\"subjects\":[\"$KV.b.>\"],\"storage\":\"memory\",\"allow_direct\":true,\"num_replicas\":1}\r\n",
        "PUB $JS.hub.API.$KV.b.k in.2 1\r\n1\r\n",
        "PUB $KV.b.k in.3 1\r\n2\r\n",
        "HPUB $JS.hub.API.$KV.b.k in.4 30 31\r\nNATS/1.0\r\nNats-Msg-Id: one\r\n\r\n3\r\n",
        "HPUB $KV.b.k in.5 30 31\r\nNATS/1.0\r\nNats-Msg-Id: one\r\n\r\n3\r\n",
        "HPUB $JS.hub.API.$KV.b.k in.6 44 45\r\nNATS/1.0\r\nNats-Expected-Last-Sequence: 9\r\n\r\n4\r\n",
        "PUB $JS.hub.API.STREAM.INFO.KV_b in.7 0\r\n\r\n",
        "PUB $JS.API.STREAM.LIST in.8 0\r\n\r\n",
        "PUB $JS.hub.API.STREAM.NAMES in.9 0\r\n\r\n",
        "PUB $JS.hub.API.DIRECT.GET.KV_b.$KV.b.k in.10 0\r\n\r\n",
        "PUB $JS.hub.API.STREAM.MSG.GET.KV_b in.11 9\r\n{\"seq\":1}\r\n",
        "PUB $JS.hub.API.DIRECT.GET.KV_no.$KV.no.k in.12 0\r\n\r\n",
        "PUB $JS.hub.API.STREAM.UPDATE.KV_b in.13 112\r\n{\"name\":\"KV_b\",\"subjects\":[\"$KV.b.>\"],\"storage\":\"memory\",\"allow_direct\":true,\"num_replicas\":1,\"description\":\"d\"}\r\n",
        "SUB d 2\r\nPUB $JS.hub.API.CONSUMER.CREATE.KV_b.c.$KV.b.> in.14 135\r\n{\"stream_name\":\"KV_b\",\"action\":\"create\",\"config\":{\"name\":\"c\",\"deliver_subject\":\"d\",\"ack_policy\":\"explicit\",\"filter_subject\":\"$KV.b.>\"}}\r\n",
        "PUB $JS.hub.API.CONSUMER.INFO.KV_b.c in.15 0\r\n\r\n",
        "PUB $JS.hub.API.CONSUMER.DELETE.KV_b.c in.16 0\r\n\r\n",
        "PUB $JS.hub.API.STREAM.PURGE.KV_b in.17 0\r\n\r\n",
        "PUB $JS.hub.API.INFO in.18 0\r\n\r\n",
        "PUB $SYS.REQ.USER.INFO in.19 0\r\n\r\n",
        "PUB $JS.hub.API.STREAM.DELETE.KV_b in.20 0\r\n\r\n",
    ],
    &[
        "CONNECT {\"verbose\":true,\"pedantic\":true,\"headers\":true,\"no_responders\":true}\r\nSUB in.* 1\r\n",
        "SUB $JS.hub.API.> 3\r\nSUB $JS.API.INFO 4\r\nPUB $JS.hub.API.INFO in.1 0\r\n\r\nPUB $JS.hub.API.FOO in.2 0\r\n\r\n",
        "PUB $JS.hub.API.$KV.* in.3 0\r\n\r\nPUB $JS.hub.API..INFO in.4 0\r\n\r\n",
    ],
];

/// Who may publish below `$JS.API.STREAM` and `$JS.leaf`.
pub(super) const USERS: &[&[&str]] = &[&[
    "CONNECT {\"user\":\"u\",\"pass\":\"p\",\"verbose\":false,\"headers\":true,\"no_responders\":true}\r\nSUB in.* 1\r\n",
    "PUB $JS.hub.API.STREAM.NAMES in.1 0\r\n\r\n",
    "PUB $JS.API.STREAM.NAMES in.2 0\r\n\r\n",
    "PUB $JS.hub.API.INFO in.3 0\r\n\r\nPUB $JS.hub.API.$KV.b.k in.4 0\r\n\r\n",
    "PUB $JS.hub.API.FOO in.5 0\r\n\r\nPUB $JS.leaf.API.INFO in.6 0\r\n\r\n",
]];

const LOGIN: &str = "CONNECT {\"verbose\":false,\"pedantic\":false,\"headers\":true,\"no_responders\":true,\"protocol\":1}\r\nSUB in.* 1\r\nPING\r\n";
