//! What clients say in the core scripts, piece by piece.

pub(super) const OPEN: &[&[&str]] = &[
    &[
        "PUB a 1\r\nx\r\n",
        "SUB b 1\r\n",
        "PUB b.* 1\r\nx\r\n",
        "UNSUB 1\r\n",
        "PING\r\n",
    ],
    &[
        "CONNECT {}\r\nPING\r\n",
        "PUB a.* 1\r\nx\r\nSUB a 1\r\n",
        "HPUB a 12 12\r\nNATS/1.0\r\n\r\n\r\n",
    ],
    &[
        "CONNECT {\"verbose\":true,\"headers\":true}\r\n",
        "SUB a 1\r\nHPUB a 12 13\r\nNATS/1.0\r\n\r\np\r\n",
    ],
    &[
        "CONNECT {\"pedantic\":true}\r\n",
        "SUB a. 1\r\nSUB x 5\r\nSUB x 5\r\nPUB x 1\r\ny\r\n",
    ],
    &[
        "CONNECT {\"verbose\":false}\r\n",
        "PUB x _R_.a 0\r\n\r\n",
        "PUB x $JS.ACK.a 0\r\n\r\nPING\r\n",
    ],
    &["CONNECT bad\r\n"],
    &["CONNECT\r\n"],
    &["CONNECT {\"protocol\":2}\r\n"],
    &["CONNECT {\"protocol\":-1}\r\n"],
    &["CONNECT {\"no_responders\":true}\r\n"],
    &["CONNECT {\"verbose\":false,\"user\":null,\"unknown\":[1]}\r\nPING\r\n"],
    &["CONNECT {\"verbose\":\"x\"}\r\nPING\r\n"],
    &["MSG a 1 0\r\n\r\n"],
    &["+OK\r\nINFO {}\r\nPING\r\n"],
    &["-ERR 'x'\r\n"],
    &["\r\n"],
    &["PINGxyz\r\nping\r\nPONG\r\n"],
    &[
        "CONNECT {\"verbose\":false}\r\n",
        "pub\ta.b  \t2 \r\nhi\r\nSUB  a.b\t 3\nPUB a.b 0\r\n\r\n",
    ],
    &["CONNECT {\"verbose\":false}\r\n", "PUB a 2\r\nhi\n"],
    &["CONNECT {\"verbose\":false}\r\n", "PUB a 1048577\r\n"],
    &["CONNECT {\"verbose\":false}\r\n", "PUB foo\r\n"],
    &["CONNECT {\"verbose\":false}\r\n", "PUB a b c 1\r\n"],
    &[
        "CONNECT {\"verbose\":false,\"headers\":true}\r\n",
        "HPUB a 20 10\r\n",
    ],
    &[
        "CONNECT {\"verbose\":false,\"echo\":false}\r\nSUB a 1\r\nPUB a 0\r\n\r\nUNSUB 1 3\r\nPING\r\n",
    ],
    &[
        "CONNECT {\"verbose\":false,\"headers\":true,\"no_responders\":true,\"echo\":false}\r\nSUB in.* 1\r\nSUB a 2\r\n",
        "PUB a in.1 0\r\n\r\nPUB none in.2 0\r\n\r\nPUB none elsewhere 0\r\n\r\nPUB a..b in.3 0\r\n\r\n",
    ],
    &[
        "CONNECT {\"verbose\":false}\r\nSUB a 1\r\nSUB a.* 2\r\nSUB > 3\r\nSUB f*o 4\r\nUNSUB 1 2\r\nUNSUB 9\r\n",
        "PUB a 0\r\n\r\nPUB a 1\r\nx\r\nPUB a r 0\r\n\r\nPUB a.b 0\r\n\r\nPUB f*o 0\r\n\r\nUNSUB 3 1\r\nPUB a 0\r\n\r\n",
    ],
    &[
        "CONNECT {\"verbose\":false,\"headers\":true}\r\nSUB h 1\r\n",
        "HPUB h 11 12\r\nHELLO WORLDp\r\nHPUB h 0 1\r\np\r\n",
    ],
    // What clients of the field begin with, and how some of them write.
    &[
        "CONNECT {\"verbose\":false,\"pedantic\":false,\"jwt\":null,\"nkey\":null,\"sig\":null,\"name\":null,\"echo\":true,\"lang\":\"rust\",\"version\":\"0.51.0\",\"protocol\":1,\"tls_required\":false,\"user\":null,\"pass\":null,\"auth_token\":null,\"headers\":true,\"no_responders\":true}\r\nPING\r\n",
        "SUB _INBOX.x.*  1\r\nSUB a  2\r\nSUB a  2\r\nPUB a 0\r\n\r\nUNSUB 2 \r\nPUB a _INBOX.x.1 0\r\n\r\n",
        "PUB $KV.TEST.x.> _INBOX.x.2 1\r\n1\r\nPING\r\nPING\r\n",
    ],
    &[
        "CONNECT {\"verbose\": false, \"pedantic\": false, \"tls_required\": false, \"lang\": \"python3\", \"version\": \"2.9\", \"protocol\": 1, \"headers\": true, \"no_responders\": true, \"echo\": true}\r\n",
        "PING\r\nPING\r\nCONNECT {\"verbose\":true}\r\nPING\r\n",
    ],
    &[
        "CONNECT {\"verbose\":false,\"protocol\":0}\r\nPING\r\nPING\r\n",
        "SUB a q 1\r\nSUB a q 2\r\nSUB a 3\r\nPUB a 1\r\nx\r\nPUB a 1\r\ny\r\nUNSUB 1\r\nUNSUB 2 3\r\nPUB a 1\r\nz\r\nPING\r\n",
    ],
    &[
        "CONNECT {\"verbose\":true,\"headers\":true}\r\n",
        "PUB $JS.API.INFO in.1 0\r\n\r\nSUB in.* 1\r\nUNSUB 1\r\nPING\r\nPONG\r\n",
    ],
    &[
        "CONNECT {\"verbose\":false,\"headers\":false}\r\n",
        "SUB a 1\r\nHPUB a 12 12\r\nNATS/1.0\r\n\r\n\r\n",
    ],
    &["CONNECT {\"verbose\":false}\r\n", "SUB a\r\n"],
    &["CONNECT {\"verbose\":false}\r\n", "UNSUB\r\n"],
    &["CONNECT {\"verbose\":false}\r\n", "SUB a b c d\r\n"],
    &["CONNECT {\"verbose\":false}\r\n", "UNSUB 1 x\r\nPING\r\n"],
    &["CONNECT {\"verbose\":false}\r\n", "PUB a -1\r\n"],
    &[
        "CONNECT {\"verbose\":false}\r\n",
        "PUB a 5\r\nhi\r\nPING\r\n",
    ],
    &["CONNECT {\"verbose\":false}\r\n", "PUB a 2\r\nhixx\r\n"],
    &[
        "CONNECT {\"verbose\":false,\"headers\":true}\r\n",
        "HPUB a 5 5\r\nhello\r\nHPUB a x 5\r\n",
    ],
    &["GET / HTTP/1.1\r\n\r\n"],
    &["CONNECT {\"protocol\":1,\"verbose\":false}\r\nINFO {}\r\nPING\r\n"],
    &["CONNECT {\"protocol\":\"1\"}\r\nPING\r\n"],
    &["CONNECT {\"Verbose\":false,\"PROTOCOL\":1}\r\nPING\r\n"],
    &[" CONNECT {}\r\n"],
    &["CONNECT {} \r\nPING \r\n"],
    &["CONNECT [1]\r\nPING\r\n"],
    &[
        "CONNECT {\"verbose\":false}\n",
        "PING\nSUB a.b 1\nPUB a.b 1\r\nx\r\n",
    ],
];

pub(super) const USERS: &[&[&str]] = &[
    &["CONNECT {\"user\":\"u\",\"pass\":\"x\"}\r\n"],
    &["CONNECT {}\r\n"],
    &["CONNECT {\"auth_token\":\"p\"}\r\n"],
    &["PING\r\n"],
    &["PUB a 0\r\n\r\n"],
    &[
        "CONNECT {\"user\":\"u\",\"pass\":\"p\",\"verbose\":false}\r\nPING\r\n",
        "SUB nope q 1\r\nSUB nope 9\r\nPUB nope 0\r\n\r\nSUB ok.* 2\r\nSUB ok.no 3\r\n",
        "PUB ok.no 0\r\n\r\nPUB ok.yes 0\r\n\r\n",
    ],
    &[
        "CONNECT {\"user\":\"u\",\"pass\":\"p\"}\r\n",
        "PUB nope 0\r\n\r\nSUB nope 1\r\nSUB > 1\r\nPING\r\n",
    ],
    &[
        "CONNECT {\"user\":\"u\",\"pass\":\"p\",\"verbose\":false}\r\n",
        "PUB ok.a b c d\r\n",
    ],
];

pub(super) fn token_scripts() -> Vec<&'static [&'static str]> {
    vec![
        &["CONNECT {\"auth_token\":\"t\",\"verbose\":false}\r\nPING\r\n"],
        &["CONNECT {\"user\":\"t\",\"verbose\":false}\r\nPING\r\n"],
        &["CONNECT {\"auth_token\":\"x\"}\r\n"],
    ]
}

/// Lines and payloads at the limits, which are too long to write down.
pub(super) fn long_scripts() -> Vec<Vec<String>> {
    let login = "CONNECT {\"verbose\":false,\"headers\":true}\r\nSUB > 1\r\n".to_owned();
    let line = |verb: &str, length: usize, rest: &str| {
        let subject = "s".repeat(length - rest.len() - 1);
        format!("{verb} {subject} {rest}\r\n")
    };
    let mut out = Vec::new();
    for length in [4090, 4096, 4097, 5000] {
        out.push(vec![
            login.clone(),
            line("PUB", length, "0") + "\r\nPING\r\n",
        ]);
        out.push(vec![login.clone(), line("SUB", length, "2") + "PING\r\n"]);
    }
    out.push(vec![login.clone(), "s".repeat(6000)]);
    for size in [1_048_576, 1_048_577] {
        out.push(vec![
            login.clone(),
            format!("PUB a {size}\r\n{}\r\n", "x".repeat(size)),
        ]);
        let block = "NATS/1.0\r\n\r\n";
        let rest = "x".repeat(size - block.len());
        out.push(vec![
            login.clone(),
            format!("HPUB a {} {size}\r\n{block}{rest}\r\n", block.len()),
        ]);
    }
    out
}
