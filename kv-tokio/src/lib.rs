//! NATS JetStream Key-Value client on [tokio](https://tokio.rs).
//!
//! Everything but the sockets and the timer is [`kv_proto`], re-exported here.
//!
//! Features: `nkeys`, on by default, for NKeys, JWTs and `.creds` files; `tls`, or `tls-aws-lc-rs` for another
//! cryptography than *ring*'s.

mod io;
mod tls;

use core::future::Future;

pub use kv_proto::driver::*;
pub use kv_proto::*;

/// Connects to NATS and returns once the connection is ready. The client's
/// driver runs in a task of its own, which ends when the last handle is
/// dropped.
///
/// `config` is one URL, several separated by commas, or a [`Config`].
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let client = kv_tokio::connect("nats://localhost:4222").await?;
/// let bucket = client.bucket("config").await?;
/// let revision = bucket.put("app.setting", "on").await?;
/// # Ok(()) }
/// ```
///
/// # Errors
///
/// [`ConnectError`]; with [`Config::retry_first_connect`] it waits instead of
/// failing when no server can be reached.
///
/// # Panics
///
/// Outside of a tokio runtime.
pub async fn connect<C>(config: C) -> Result<Client, ConnectError>
where
    C: TryInto<Config>,
    ConnectError: From<C::Error>,
{
    let (client, driver) = connect_with_driver(config)?;
    tokio::spawn(driver);
    client.connected().await?;
    Ok(client)
}

/// Makes a client and hands its driver to the caller: a future that moves the
/// client's bytes and has to be polled for the client to work.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let (client, driver) = kv_tokio::connect_with_driver("nats://localhost:4222")?;
/// let work = async {
///     client.connected().await?;
///     let names = client.bucket_names().collect().await?;
///     Ok::<_, Box<dyn std::error::Error>>(names)
/// };
/// tokio::select! {
///     names = work => println!("{:?}", names?),
///     () = driver => println!("the client was closed"),
/// }
/// # Ok(()) }
/// ```
///
/// # Errors
///
/// [`ConnectError::InvalidUrl`] and [`ConnectError::Entropy`].
pub fn connect_with_driver<C>(
    config: C,
) -> Result<(Client, impl Future<Output = ()> + Send + 'static), ConnectError>
where
    C: TryInto<Config>,
    ConnectError: From<C::Error>,
{
    let config = config.try_into()?;
    let mut entropy = [0; 32];
    getrandom::fill(&mut entropy).map_err(|error| ConnectError::Entropy(error.to_string()))?;
    let runtime = io::Tokio::new(&config);
    Ok(kv_proto::driver::new(runtime, config, Seed::new(entropy)))
}

/// The README's snippets, compiled.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
