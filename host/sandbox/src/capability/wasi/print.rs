//! `wasi:io/streams`: what a guest prints goes to the host's log, line by line
//! and at once. No task carries it there, so that it is the same in a replay,
//! where it is not written again.
//!
//! Output and error output are the only streams that a guest can write to:
//! nothing that it is given has another. So whatever is written is printed.

use tokio::io::AsyncWrite;
use wasmtime::component::Resource;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::bindings::io::streams::{
    Host, HostInputStream, HostOutputStream, InputStream, OutputStream, StreamError as WireError,
};
use wasmtime_wasi::p2::pipe::SinkOutputStream;
use wasmtime_wasi::p2::{DynPollable, StreamError, StreamResult};

use crate::bindings::log::Level;
use crate::capability::log;
use crate::guest::Guest;
use crate::rate::Rate;

/// The longest line; a longer one becomes several.
const LINE_BYTES: usize = 4 << 10;

/// What one call that waits may write, by the contract of WASI.
const AT_ONCE_BYTES: usize = 4 << 10;

/// Takes everything: the bytes were printed before they came here.
#[derive(Clone, Copy)]
pub(super) struct Printed;

impl IsTerminal for Printed {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Printed {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(tokio::io::sink())
    }

    fn p2_stream(&self) -> Box<dyn wasmtime_wasi::p2::OutputStream> {
        Box::new(SinkOutputStream)
    }
}

/// The lines of both outputs, which share their rate.
pub(super) struct Lines {
    unfinished: Vec<u8>,
    rate: Rate,
}

impl Default for Lines {
    fn default() -> Self {
        Self { unfinished: Vec::new(), rate: log::rate() }
    }
}

impl Lines {
    /// Takes more of what is printed, and hands on the lines that it ends.
    fn add(&mut self, bytes: &[u8], mut print: impl FnMut(&mut Rate, &str)) {
        for byte in bytes {
            if *byte != b'\n' {
                self.unfinished.push(*byte);
            }
            if *byte == b'\n' || self.unfinished.len() == LINE_BYTES {
                let line = std::mem::take(&mut self.unfinished);
                print(&mut self.rate, &String::from_utf8_lossy(&line));
            }
        }
    }
}

impl Guest {
    fn print(&mut self, stream: &Resource<OutputStream>, bytes: &[u8]) -> StreamResult<()> {
        let wasi = self.wasi.get_or_insert_with(|| Box::new(super::Wasi::new()));
        wasi.table.get(stream)?;
        let calls = &self.calls;
        wasi.lines.add(bytes, |rate, line| {
            if !calls.is_replaying() {
                log::write(rate, calls.host_nanos(), calls.lineage(), Level::Debug, line);
            }
        });
        Ok(())
    }
}

impl Host for Guest {
    fn convert_stream_error(&mut self, error: StreamError) -> wasmtime::Result<WireError> {
        self.wasi().table.convert_stream_error(error)
    }
}

impl HostOutputStream for Guest {
    fn check_write(&mut self, stream: Resource<OutputStream>) -> StreamResult<u64> {
        self.wasi().table.check_write(stream)
    }

    fn write(&mut self, stream: Resource<OutputStream>, bytes: Vec<u8>) -> StreamResult<()> {
        self.print(&stream, &bytes)
    }

    async fn blocking_write_and_flush(&mut self, stream: Resource<OutputStream>, bytes: Vec<u8>) -> StreamResult<()> {
        if bytes.len() > AT_ONCE_BYTES {
            return Err(StreamError::trap("more than 4096 bytes in one write that waits"));
        }
        self.print(&stream, &bytes)
    }

    fn flush(&mut self, stream: Resource<OutputStream>) -> StreamResult<()> {
        self.wasi().table.flush(stream)
    }

    async fn blocking_flush(&mut self, stream: Resource<OutputStream>) -> StreamResult<()> {
        self.wasi().table.blocking_flush(stream).await
    }

    fn subscribe(&mut self, stream: Resource<OutputStream>) -> wasmtime::Result<Resource<DynPollable>> {
        HostOutputStream::subscribe(&mut self.wasi().table, stream)
    }

    fn write_zeroes(&mut self, stream: Resource<OutputStream>, length: u64) -> StreamResult<()> {
        self.wasi().table.write_zeroes(stream, length)
    }

    async fn blocking_write_zeroes_and_flush(
        &mut self,
        stream: Resource<OutputStream>,
        length: u64,
    ) -> StreamResult<()> {
        self.wasi().table.blocking_write_zeroes_and_flush(stream, length).await
    }

    fn splice(
        &mut self,
        stream: Resource<OutputStream>,
        from: Resource<InputStream>,
        length: u64,
    ) -> StreamResult<u64> {
        self.wasi().table.splice(stream, from, length)
    }

    async fn blocking_splice(
        &mut self,
        stream: Resource<OutputStream>,
        from: Resource<InputStream>,
        length: u64,
    ) -> StreamResult<u64> {
        self.wasi().table.blocking_splice(stream, from, length).await
    }

    async fn drop(&mut self, stream: Resource<OutputStream>) -> wasmtime::Result<()> {
        HostOutputStream::drop(&mut self.wasi().table, stream).await
    }
}

impl HostInputStream for Guest {
    fn read(&mut self, stream: Resource<InputStream>, length: u64) -> StreamResult<Vec<u8>> {
        self.wasi().table.read(stream, length)
    }

    async fn blocking_read(&mut self, stream: Resource<InputStream>, length: u64) -> StreamResult<Vec<u8>> {
        self.wasi().table.blocking_read(stream, length).await
    }

    fn skip(&mut self, stream: Resource<InputStream>, length: u64) -> StreamResult<u64> {
        self.wasi().table.skip(stream, length)
    }

    async fn blocking_skip(&mut self, stream: Resource<InputStream>, length: u64) -> StreamResult<u64> {
        self.wasi().table.blocking_skip(stream, length).await
    }

    fn subscribe(&mut self, stream: Resource<InputStream>) -> wasmtime::Result<Resource<DynPollable>> {
        HostInputStream::subscribe(&mut self.wasi().table, stream)
    }

    async fn drop(&mut self, stream: Resource<InputStream>) -> wasmtime::Result<()> {
        HostInputStream::drop(&mut self.wasi().table, stream).await
    }
}
