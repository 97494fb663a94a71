//! How connections are made.

use std::io;

use kv_proto::ServerAddr;
use kv_proto::driver::{KEEP_ALIVE, first_to_connect, host_and_port};
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpStream, ToSocketAddrs, lookup_host};
use tokio::time::sleep;

use crate::io::Socket;

/// Connects to where a URL leads.
pub(crate) async fn open(server: ServerAddr) -> io::Result<Socket> {
    #[cfg(unix)]
    if let Some(path) = server.path() {
        let connect = tokio::net::UnixStream::connect;
        let stream = first_to_connect([path], connect, sleep).await?;
        return Ok(stream.into());
    }
    Ok(dial_tcp(host_and_port(&server)?).await?.into())
}

/// Connects by TCP as clients do by themselves: to the [first address that
/// answers](first_to_connect), without delay of small writes, and with
/// [keep-alive](KEEP_ALIVE).
///
/// # Errors
///
/// What each address says, if none answers.
pub async fn dial_tcp(addresses: impl ToSocketAddrs) -> io::Result<TcpStream> {
    let addresses: Vec<_> = lookup_host(addresses).await?.collect();
    let stream = first_to_connect(addresses, TcpStream::connect, sleep).await?;
    let times = TcpKeepalive::new().with_time(KEEP_ALIVE);
    SockRef::from(&stream).set_tcp_keepalive(&times.with_interval(KEEP_ALIVE / 3))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}
