//! How connections are made.

use std::io;

use kv_proto::ServerAddr;
use kv_proto::driver::{KEEP_ALIVE, first_to_connect, host_and_port};
use smol::Timer;
use smol::net::{AsyncToSocketAddrs, TcpStream, resolve};
use socket2::{SockRef, TcpKeepalive};

use crate::io::Socket;

/// Connects to where a URL leads.
pub(crate) async fn open(server: ServerAddr) -> io::Result<Socket> {
    #[cfg(unix)]
    if let Some(path) = server.path() {
        let connect = smol::net::unix::UnixStream::connect;
        let stream = first_to_connect([path], connect, Timer::after).await?;
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
pub async fn dial_tcp(addresses: impl AsyncToSocketAddrs) -> io::Result<TcpStream> {
    let addresses = resolve(addresses).await?;
    let stream = first_to_connect(addresses, TcpStream::connect, Timer::after).await?;
    let times = TcpKeepalive::new().with_time(KEEP_ALIVE);
    SockRef::from(&stream).set_tcp_keepalive(&times.with_interval(KEEP_ALIVE / 3))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}
