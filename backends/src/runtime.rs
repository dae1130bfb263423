//! The private tokio runtime of destinations behind a network. Callers are ordinary threads; a call
//! runs on the thread that makes it, its input and output on the runtime's own.

use std::future::Future;
use std::io;
use std::sync::OnceLock;

use tokio::runtime::{Builder, Runtime};

/// The one runtime of the process.
///
/// Errors: the system refuses a thread or another resource.
pub(crate) fn runtime() -> io::Result<&'static Runtime> {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    if let Some(runtime) = RUNTIME.get() {
        return Ok(runtime);
    }
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("transfer")
        .enable_all()
        .build()?;
    // If two threads come here at once, one runtime is dropped unused.
    Ok(RUNTIME.get_or_init(|| runtime))
}

/// Waits for a future. Not to be called from within one.
///
/// Errors: as [`runtime`].
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> io::Result<T> {
    Ok(runtime()?.block_on(future))
}
