//! Services wired together: from a configuration file (`up` and its parts), or on embedded defaults (`dev`, `demo`).

pub mod demo;
pub mod dev;
pub mod up;

mod gateway;
mod postgres;
mod wiring;

/// Until SIGINT or SIGTERM comes.
pub async fn interrupted() {
    use tokio::signal::unix::{SignalKind, signal};
    let terminated = async {
        match signal(SignalKind::terminate()) {
            Ok(mut stream) => {
                stream.recv().await;
            }
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        () = terminated => {}
    }
}
