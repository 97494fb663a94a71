//! TLS over a connection, by rustls; an error where it is not built in.

use core::future::Future;
use std::io;

use kv_proto::{Config, ServerAddr};

use crate::io::Stream;

#[cfg(feature = "_tls")]
pub(crate) struct Tls(kv_proto::TlsConfig);

#[cfg(feature = "_tls")]
impl Tls {
    pub(crate) const IS_BUILT: bool = true;

    pub(crate) fn new(config: &Config) -> Self {
        Self(config.tls_config().clone())
    }

    pub(crate) fn secure(
        &self,
        stream: Stream,
        server: &ServerAddr,
    ) -> impl Future<Output = io::Result<Stream>> + Send + use<> {
        let prepared = self.0.to_server(server);
        async {
            let (config, name) = prepared?;
            let connector = futures_rustls::TlsConnector::from(config);
            let stream: Stream = Box::new(connector.connect(name, stream).await?);
            Ok(stream)
        }
    }
}

#[cfg(not(feature = "_tls"))]
pub(crate) struct Tls;

#[cfg(not(feature = "_tls"))]
impl Tls {
    pub(crate) const IS_BUILT: bool = false;

    pub(crate) const fn new(_: &Config) -> Self {
        Self
    }

    pub(crate) fn secure(
        &self,
        _: Stream,
        _: &ServerAddr,
    ) -> impl Future<Output = io::Result<Stream>> + Send + use<> {
        let text = "this client is built without its feature `tls`";
        core::future::ready(Err(io::Error::new(io::ErrorKind::Unsupported, text)))
    }
}
