//! From operations to their effects: CONNECT, subscriptions, publishes, and what these set in motion.

use bytes::Bytes;

use super::Cluster;
use super::api::{PREFIX, Request};
use super::connection::{ConnId, Options};
use super::consumer::addressee;
use super::disturb::{Breach, Disturbances};
use super::parser::{Fault, Operation, Publish};
use super::stream::group::Standing;
use super::stream::{Inbound, Outgoing};
use super::{domain, subject, user_info};

/// Replies that only servers may ask for.
const RESERVED_REPLIES: [&[u8]; 3] = [b"_R_.", b"$JS.ACK.", b"_GR_."];
/// Whoever publishes below it asks for a consumer.
const CONSUMER_CREATE: &[u8] = b"$JS.API.CONSUMER.CREATE.";
/// Streams that republish into each other would go on for ever; a real server does.
const MAX_CASCADE: usize = 100_000;

impl Cluster {
    /// Carries out all that a connection has said.
    pub(super) fn run(&mut self, conn: ConnId) {
        loop {
            let (line, payload) = (self.config.max_control_line, self.config.max_payload);
            let Some(connection) = self.connections.get_mut(&conn).filter(|conn| !conn.closed)
            else {
                return;
            };
            let rules = connection.rules(line, payload);
            let next = connection.parser.next(rules);
            self.changed |= !matches!(next, Ok(None));
            match next {
                Ok(None) => return,
                Ok(Some(operation)) => self.execute(conn, operation),
                Err(fault) => {
                    self.disturbances
                        .breaches
                        .extend(breach_of(fault).map(|breach| (conn, breach)));
                    self.fail(conn, text_of(fault));
                }
            }
            self.settle();
        }
    }

    /// Ends a connection from the server's side.
    pub(super) fn fail(&mut self, conn: ConnId, error: Option<&str>) {
        let Some(connection) = self.connections.get_mut(&conn).filter(|conn| !conn.closed) else {
            return;
        };
        if let Some(text) = error {
            connection.send_error(text);
        }
        connection.closed = true;
        self.router.remove_connection(conn);
        self.closed.push_back(conn);
    }

    fn execute(&mut self, conn: ConnId, operation: Operation) {
        match operation {
            Operation::Connect(json) => self.connect(conn, &json),
            Operation::Ping => self.ping(conn),
            Operation::Pong => {
                if let Some(connection) = self.connections.get_mut(&conn) {
                    connection.hear_pong();
                }
            }
            Operation::Subscribe {
                subject,
                queue,
                sid,
            } => {
                self.subscribe(conn, subject, queue, sid);
            }
            Operation::Unsubscribe { sid, max } => {
                self.router.unsubscribe(&(conn, sid), max);
                if let Some(connection) = self.connections.get_mut(&conn) {
                    connection.send_ok();
                }
            }
            Operation::Publish(publish) => self.publish(conn, publish),
        }
    }

    fn connect(&mut self, conn: ConnId, json: &[u8]) {
        let Some(options) = Options::parse(json) else {
            return self.fail(conn, None);
        };
        let admitted = self
            .config
            .auth
            .admit(&options.user, &options.pass, &options.token)
            .filter(|_| !self.disturbances.refuses_logins());
        let Some(permissions) = admitted else {
            return self.fail(conn, Some("Authorization Violation"));
        };
        if !(0..=1).contains(&options.protocol) {
            return self.fail(conn, Some("invalid client protocol"));
        }
        if options.no_responders && !options.headers {
            return self.fail(conn, Some("no responders requires headers support"));
        }
        if let Some(connection) = self.connections.get_mut(&conn) {
            connection.options = options;
            connection.connected = true;
            connection.admit(permissions);
            connection.send_ok();
        }
    }

    fn ping(&mut self, conn: ConnId) {
        let has_connect_info = self.config.version.has_connect_info();
        let Some(connection) = self.connections.get_mut(&conn) else {
            return;
        };
        connection.send(b"PONG\r\n");
        let first = !std::mem::replace(&mut connection.ponged, true);
        if first && connection.connected && connection.options.protocol >= 1 && has_connect_info {
            self.send_info(conn, true);
        }
    }

    fn subscribe(&mut self, conn: ConnId, subject: Bytes, queue: Option<Bytes>, sid: Bytes) {
        let count = self.router.count(conn);
        let Some(connection) = self.connections.get_mut(&conn) else {
            return;
        };
        let allowed = &connection.permissions.subscribe;
        if !allowed.permit(&subject) {
            let mut text = format!(
                "Permissions Violation for Subscription to \"{}\"",
                lossy(&subject)
            );
            if let Some(queue) = queue {
                text += &format!(" using queue \"{}\"", lossy(&queue));
            }
            return connection.send_error(&text);
        }
        let max = self.config.max_subscriptions;
        if max > 0 && count >= max {
            return connection.send_error("maximum subscriptions exceeded");
        }
        if !subject::is_valid(&subject) {
            return connection.send_error("Invalid Subject");
        }
        let hidden = allowed.hidden_from(&subject);
        connection.send_ok();
        self.router.subscribe((conn, sid), subject, queue, hidden);
    }

    fn publish(&mut self, conn: ConnId, mut message: Publish) {
        let Some(connection) = self.connections.get_mut(&conn) else {
            return;
        };
        if connection.options.pedantic && !subject::is_literal(&message.subject) {
            connection.send_error("Invalid Publish Subject");
        }
        let domain = self
            .config
            .domain
            .as_deref()
            .filter(|_| self.config.jetstream);
        if let Some(renamed) = domain.and_then(|domain| domain::renamed(&message.subject, domain)) {
            message.subject = renamed;
        }
        if !connection.permissions.publish.permit(&message.subject) {
            let text = format!(
                "Permissions Violation for Publish to \"{}\"",
                lossy(&message.subject)
            );
            return connection.send_error(&text);
        }
        if RESERVED_REPLIES
            .iter()
            .any(|prefix| message.reply.starts_with(prefix))
        {
            let reply = lossy(&message.reply);
            let text = format!("Permissions Violation for Publish with Reply of \"{reply}\"");
            return connection.send_error(&text);
        }
        connection.send_ok();
        if message.subject.starts_with(CONSUMER_CREATE) {
            self.jetstream.asking.push_back(conn);
        }
        let except = (!connection.options.echo).then_some(conn);
        let outgoing = Outgoing {
            to: message.subject.clone(),
            subject: message.subject,
            reply: message.reply,
            headers: message.headers,
            payload: message.payload,
        };
        let by_clients = self.deliver(except, &outgoing);
        let message = Inbound {
            subject: outgoing.subject,
            reply: outgoing.reply,
            headers: outgoing.headers,
            payload: outgoing.payload,
        };
        let by_server = self.serve(conn, &message);
        if !by_clients && !by_server && !message.reply.is_empty() {
            self.send_no_responders(conn, &message);
        }
    }

    /// Gives a message to whatever part of the server listens on its subject; true if one does.
    fn serve(&mut self, conn: ConnId, message: &Inbound) -> bool {
        if message.subject == user_info::SUBJECT {
            self.tell_user(conn, &message.reply);
            return true;
        }
        if !self.config.jetstream {
            return false;
        }
        let text = lossy(&message.subject);
        if text.starts_with(PREFIX) {
            let now = self.moment();
            let server = self.connections.get(&conn).map_or(0, |conn| conn.server);
            let server_id = self
                .servers
                .get(server)
                .map_or("", |server| server.id.as_str());
            let request = Request {
                subject: &text,
                headers: &message.headers,
                body: &message.payload,
                now,
                conn,
                server,
                server_id,
            };
            let (router, outbox) = (&self.router, &mut self.outbox);
            let refused = self.disturbances.refuse_call(&text, &message.reply);
            let Some(refused) = refused else {
                let reply = &message.reply;
                if let Some(text) = Disturbances::describe_answerer(&text) {
                    outbox.push_back(Outgoing::answer(reply, text));
                    return true;
                }
                return self.jetstream.request(&request, reply, router, outbox);
            };
            if refused.done {
                let nobody = Bytes::new();
                self.jetstream.request(&request, &nobody, router, outbox);
            }
            self.answer_refused_call(conn, message, refused);
            return true;
        }
        if text.starts_with("$JS.ACK.") {
            let (now, router) = (self.moment(), &self.router);
            if self.jetstream.acked(message, now, router, &mut self.outbox) {
                return true;
            }
        }
        if let Some((stream, consumer)) = addressee(&text) {
            let found = self.jetstream.streams.get_mut(stream);
            let found = found.and_then(|stream| stream.consumers.get_mut(consumer));
            let Some(consumer) = found.filter(|consumer| consumer.has_flow_control()) else {
                return false;
            };
            if !self.disturbances.loses_flow_answer() {
                consumer.flow_answered(&message.subject);
            }
            return true;
        }
        let stored_by_any = self
            .jetstream
            .streams
            .values()
            .any(|one| one.captures(&message.subject));
        let refused = if stored_by_any {
            self.disturbances.refuse(message)
        } else {
            None
        };
        let Some((refusal, stored)) = refused else {
            return self.store(message);
        };
        if stored {
            let reply = Bytes::new();
            self.store(&Inbound {
                reply,
                ..message.clone()
            });
        }
        self.answer_refused(conn, message, refusal);
        true
    }

    /// Publishes to the streams that capture the subject; true if one does.
    fn store(&mut self, message: &Inbound) -> bool {
        let now = self.moment();
        self.jetstream.publish(message, now, &mut self.outbox)
    }

    /// Sends a message to all subscriptions that match; true if there is one.
    pub(super) fn deliver(&mut self, except: Option<ConnId>, message: &Outgoing) -> bool {
        let recipients = self.router.recipients(&message.to, except, &mut self.rng);
        let any = !recipients.is_empty();
        for (conn, sid) in recipients {
            let Some(connection) = self.connections.get_mut(&conn) else {
                continue;
            };
            let Outgoing {
                subject,
                reply,
                headers,
                payload,
                ..
            } = message;
            connection.send_message(subject, &sid, reply, headers, payload);
            if connection.output.len() > self.config.max_pending {
                connection.output.clear(); // what a slow consumer did not read is lost
                self.fail(conn, None);
            }
        }
        any
    }

    /// Tells a requester that nobody serves its subject, if it wants to know.
    pub(super) fn send_no_responders(&mut self, conn: ConnId, message: &Inbound) {
        let wanted = self
            .connections
            .get(&conn)
            .is_some_and(|conn| conn.options.no_responders);
        let Some(sid) = self
            .router
            .reply_sid(conn, &message.reply)
            .filter(|_| wanted)
        else {
            return;
        };
        let mut headers = b"NATS/1.0 503\r\n".to_vec();
        if self.config.version.names_unserved_subject() {
            headers.extend_from_slice(b"Nats-Subject: ");
            headers.extend_from_slice(&message.subject);
            headers.extend_from_slice(b"\r\n");
        }
        headers.extend_from_slice(b"\r\n");
        if let Some(connection) = self.connections.get_mut(&conn) {
            connection.send_message(&message.reply, &sid, b"", &headers, b"");
        }
    }

    /// Sends what waits in the outbox and moves consumers on, until nothing more happens.
    pub(super) fn settle(&mut self) {
        for _ in 0..MAX_CASCADE {
            if self.is_settled() {
                return;
            }
            self.changed = true;
            if let Some(message) = self.next_message() {
                let heard = self.deliver(None, &message);
                if !heard && message.to != message.subject {
                    let (now, router) = (self.moment(), &self.router);
                    self.jetstream
                        .did_not_deliver(&message, now, router, &mut self.outbox);
                }
                if message.to == message.subject {
                    self.store(&Inbound {
                        subject: message.subject,
                        reply: Bytes::new(),
                        headers: message.headers,
                        payload: message.payload,
                    });
                }
                continue;
            }
            if self.router.take_changed() {
                self.tell_interest();
            }
            self.jetstream.replicate(self.moment(), &mut self.outbox);
            self.move_consumers();
            if self.outbox.is_empty() {
                return;
            }
        }
        self.outbox.clear();
    }

    /// Whether nothing is left to do at this moment.
    fn is_settled(&self) -> bool {
        let mut streams = self.jetstream.streams.values();
        self.outbox.is_empty()
            && self.router.is_unchanged()
            && !self.jetstream.has_followers()
            && streams.all(|stream| stream.is_at_rest(self.now))
    }

    fn tell_interest(&mut self) {
        for stream in self.jetstream.streams.values_mut() {
            for consumer in stream.consumers.values_mut() {
                let (deliver, group) = consumer.listeners();
                let bound = self.router.has_literal(deliver, group);
                if bound != consumer.is_active() {
                    consumer.set_interest(bound, self.now);
                }
            }
        }
    }

    fn move_consumers(&mut self) {
        let now = self.moment();
        let peers = &self.jetstream.peers;
        for stream in self.jetstream.streams.values_mut() {
            if stream.group.standing() == Standing::Offline {
                continue;
            }
            let consumers = stream.consumers.values_mut();
            for consumer in consumers.filter(|one| one.runs(peers)) {
                let store = stream.group.store_at(consumer.home, &stream.store);
                let (router, rng) = (&self.router, &mut self.rng);
                consumer.deliver(store, now, router, rng, &mut self.outbox);
            }
            stream.drop_done();
        }
    }
}

fn breach_of(fault: Fault) -> Option<Breach> {
    match fault {
        Fault::Silent | Fault::UnknownOperation | Fault::ControlLine => Some(Breach::Malformed),
        Fault::MaxPayload => Some(Breach::TooLarge),
        Fault::NotAuthorized => None,
    }
}

fn text_of(fault: Fault) -> Option<&'static str> {
    match fault {
        Fault::Silent => None,
        Fault::UnknownOperation => Some("Unknown Protocol Operation"),
        Fault::ControlLine => Some("maximum control line exceeded"),
        Fault::MaxPayload => Some("Maximum Payload Violation"),
        Fault::NotAuthorized => Some("Authorization Violation"),
    }
}

fn lossy(bytes: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}
