//! The beginning of a connection: a token as the password, inside TLS or on loopback.

use std::fmt::Debug;

use async_trait::async_trait;
use datafusion_postgres::pgwire::api::auth::{
    DefaultServerParameterProvider, StartupHandler, finish_authentication, protocol_negotiation,
    save_startup_parameters_to_metadata,
};
use datafusion_postgres::pgwire::api::{
    ClientInfo, PgWireConnectionState, PidSecretKeyGenerator as _,
};
use datafusion_postgres::pgwire::error::{ErrorInfo, PgWireError, PgWireResult};
use datafusion_postgres::pgwire::messages::startup::Authentication;
use datafusion_postgres::pgwire::messages::{PgWireBackendMessage, PgWireFrontendMessage};
use futures::{Sink, SinkExt as _};
use zeroize::Zeroizing;

use super::connection::Connection;
use super::wire;
use crate::described::SERVER_VERSION;

#[async_trait]
impl StartupHandler for Connection {
    async fn on_startup<C>(
        &self,
        client: &mut C,
        message: PgWireFrontendMessage,
    ) -> PgWireResult<()>
    where
        C: ClientInfo + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        match message {
            PgWireFrontendMessage::Startup(startup) => {
                protocol_negotiation(client, &startup).await?;
                if !self.may_take_token(client.is_secure()) {
                    return Err(needs_tls());
                }
                save_startup_parameters_to_metadata(client, &startup);
                client.set_state(PgWireConnectionState::AuthenticationInProgress);
                let ask = Authentication::CleartextPassword;
                client.send(PgWireBackendMessage::Authentication(ask)).await?;
            }
            PgWireFrontendMessage::PasswordMessageFamily(password)
                if self.may_take_token(client.is_secure()) =>
            {
                let token = Zeroizing::new(password.into_password()?.password);
                self.enter(token.trim()).await.map_err(|error| wire(&error))?;
                let (pid, key) = self.cancels().keys.generate(client);
                client.set_pid_and_secret_key(pid, key.clone());
                self.listen_for_cancel(pid, key);
                finish_authentication(client, &parameters()).await?;
            }
            _ => {}
        }
        Ok(())
    }
}

fn parameters() -> DefaultServerParameterProvider {
    let mut parameters = DefaultServerParameterProvider::default();
    SERVER_VERSION.clone_into(&mut parameters.server_version);
    parameters.is_superuser = false;
    parameters.default_transaction_read_only = true;
    "UTC".clone_into(&mut parameters.time_zone);
    parameters
}

fn needs_tls() -> PgWireError {
    PgWireError::UserError(Box::new(ErrorInfo::new(
        "FATAL".to_owned(),
        "28000".to_owned(),
        "the password here is a token, and it is taken only inside TLS; connect with sslmode=require or stricter"
            .to_owned(),
    )))
}
