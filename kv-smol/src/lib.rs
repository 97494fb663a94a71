//! NATS JetStream Key-Value client on [smol](https://docs.rs/smol).
//!
//! Everything but the sockets and the timer is [`kv_proto`], re-exported here.
//!
//! Features: `nkeys`, on by default, for NKeys, JWTs and `.creds` files; `tls`, or `tls-aws-lc-rs` for another
//! cryptography than *ring*'s.

mod dial;
mod io;

use core::future::Future;

pub use dial::dial_tcp;
pub use io::Smol;
pub use kv_proto::driver::*;
pub use kv_proto::*;

/// Makes connections; [`connect`] does it with the default one.
///
/// ```no_run
/// # async fn ask_proxy<S>(_: &mut S, _: kv_smol::ServerAddr) -> std::io::Result<()> { Ok(()) }
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let proxied = kv_smol::Connector::new(|server| async move {
///     let mut stream = kv_smol::dial_tcp("proxy.example.org:1080").await?;
///     ask_proxy(&mut stream, server).await?;
///     Ok(stream)
/// });
/// let client = proxied.connect("tls://nats.example.org").await?;
/// # Ok(()) }
/// ```
pub type Connector = driver::Connector<Smol>;

/// Connects to NATS and returns once the connection is ready. The client's
/// driver runs on smol's global executor, until the last handle is dropped.
///
/// `config` is one URL, several separated by commas, or a [`Config`].
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let client = kv_smol::connect("nats://localhost:4222").await?;
/// let bucket = client.bucket("config").await?;
/// let revision = bucket.put("app.setting", "on").await?;
/// # Ok(()) }
/// ```
///
/// # Errors
///
/// [`ConnectError`]; with [`Config::retry_first_connect`] it waits instead of
/// failing when no server can be reached.
pub async fn connect(config: impl IntoConfig) -> Result<Client, ConnectError> {
    Connector::default().connect(config).await
}

/// Makes a client and hands its driver to the caller: a future that moves the
/// client's bytes and has to be polled for the client to work, by any executor.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let (client, driver) = kv_smol::connect_with_driver("nats://localhost:4222")?;
/// let work = async {
///     client.connected().await?;
///     let names = client.bucket_names().collect().await?;
///     println!("{names:?}");
///     Ok::<_, Box<dyn std::error::Error>>(())
/// };
/// smol::future::or(work, async { Ok(driver.await) }).await?;
/// # Ok(()) }
/// ```
///
/// # Errors
///
/// [`ConnectError::InvalidUrl`] and [`ConnectError::Entropy`].
pub fn connect_with_driver(
    config: impl IntoConfig,
) -> Result<(Client, impl Future<Output = ()> + Send + 'static), ConnectError> {
    Connector::default().connect_with_driver(config)
}
