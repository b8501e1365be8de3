//! A man in the middle of the way to the target, with a certificate of his own. `sslmode = "require"` takes any
//! certificate: only channel binding (RFC 5929) tells. Behind him is a real PostgreSQL.

use std::sync::{Arc, Mutex};

use dev_services::DevService;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tallyport_gateway::tls::DevCa;
use tallyport_schemas::{Body, Session};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector, rustls};

use crate::harness::{Options, World};
use crate::wire::{Message, Wire, error_field, frame, startup, tags};

const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];
const PLUS: &[u8] = b"SCRAM-SHA-256-PLUS\0";
const AUTHENTICATION_SASL: i32 = 10;
const AUTHENTICATION_SASL_CONTINUE: i32 = 11;

/// What logins chose: the mechanism, and what they say of channel binding (RFC 5802 section 7, gs2-cbind-flag).
type Chosen = Arc<Mutex<Vec<(String, String)>>>;

struct Between {
    port: u16,
    server: u16,
    hides_plus: bool,
    acceptor: TlsAcceptor,
    connector: TlsConnector,
    chosen: Chosen,
}

impl Between {
    /// Listens in front of `server`; gives its port and what it will have seen.
    async fn start(server: &DevService, hides_plus: bool) -> (u16, Chosen) {
        let folder = tempfile::tempdir().unwrap();
        let ca = DevCa::create_or_load(folder.path()).unwrap();
        let chain = vec![CertificateDer::from_pem_file(ca.cert_path()).unwrap()];
        let key = PrivateKeyDer::from_pem_file(ca.key_path()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let own = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(server.text("ca")).unwrap()).unwrap();
        let towards = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let between = Self {
            port: listener.local_addr().unwrap().port(),
            server: server.port("port"),
            hides_plus,
            acceptor: TlsAcceptor::from(Arc::new(own)),
            connector: TlsConnector::from(Arc::new(towards)),
            chosen: Chosen::default(),
        };
        let (port, chosen) = (between.port, Arc::clone(&between.chosen));
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                between.relay(client).await;
            }
        });
        (port, chosen)
    }

    /// One login, message by message, until one side has enough.
    async fn relay(&self, mut client: TcpStream) {
        let mut asked = [0; SSL_REQUEST.len()];
        client.read_exact(&mut asked).await.unwrap();
        assert_eq!(asked, SSL_REQUEST);
        client.write_all(b"S").await.unwrap();
        let mut client = self.acceptor.accept(client).await.unwrap();

        let mut server = TcpStream::connect(("127.0.0.1", self.server)).await.unwrap();
        server.write_all(&SSL_REQUEST).await.unwrap();
        assert_eq!(server.read_u8().await.unwrap(), b'S');
        let name = ServerName::try_from("localhost").unwrap();
        let mut server = self.connector.connect(name, server).await.unwrap();

        let length = client.read_u32().await.unwrap();
        let mut rest = vec![0; length as usize - 4];
        client.read_exact(&mut rest).await.unwrap();
        server.write_all(&[&length.to_be_bytes()[..], &rest].concat()).await.unwrap();
        while let Some((tag, mut body)) = message(&mut server).await {
            let method = body.first_chunk().map_or(0, |method| i32::from_be_bytes(*method));
            let offers = tag == b'R' && method == AUTHENTICATION_SASL;
            if offers && self.hides_plus {
                let at = body.windows(PLUS.len()).position(|window| window == PLUS).expect("PLUS");
                body.drain(at..at + PLUS.len());
            }
            if client.write_all(&frame(tag, &body)).await.is_err() {
                return;
            }
            if tag != b'R' || !matches!(method, AUTHENTICATION_SASL | AUTHENTICATION_SASL_CONTINUE)
            {
                continue;
            }
            let Some((tag, body)) = message(&mut client).await else { return };
            if offers {
                self.note(&body);
            }
            server.write_all(&frame(tag, &body)).await.unwrap();
        }
    }

    /// Reads a SASLInitialResponse: a name, a length of four bytes, the client's first message.
    fn note(&self, initial: &[u8]) {
        let end = initial.iter().position(|byte| *byte == 0).expect("a mechanism");
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let first = text(&initial[end + 5..]);
        let (flag, _) = first.split_once(",,").expect("a gs2 header");
        self.chosen.lock().unwrap().push((text(&initial[..end]), flag.to_owned()));
    }
}

async fn message<S: AsyncRead + Unpin>(stream: &mut S) -> Option<Message> {
    let tag = stream.read_u8().await.ok()?;
    let length = stream.read_u32().await.ok()?;
    let mut body = vec![0; length as usize - 4];
    stream.read_exact(&mut body).await.ok()?;
    Some((tag, body))
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_in_between_gets_in_where_the_login_is_bound_to_the_channel() {
    let start = || crate::upstream::server(&["--ssl", "--auth", "scram"]);
    let Some(server) = tokio::task::spawn_blocking(start).await.unwrap() else { return };
    for (hides_plus, mechanism, flag) in
        [(false, "SCRAM-SHA-256-PLUS", "p=tls-server-end-point"), (true, "SCRAM-SHA-256", "y")]
    {
        let (port, chosen) = Between::start(server, hides_plus).await;
        let target: &'static str = Box::leak(
            format!(
                "{}address = '127.0.0.1:{port}'\nsslmode = 'require'\n",
                crate::upstream::PASSWORD
            )
            .into_boxed_str(),
        );
        let world = World::start_on(server, Options { target, ..Options::default() }).await;
        let mut wire = Wire::new(world.tunnel().await);
        wire.send(&startup(&[("user", "u")])).await;
        let refused = wire.rest().await;
        assert_eq!(tags(&refused), "E", "he got in although {mechanism} was chosen");
        assert_eq!(error_field(&refused, b'C'), "08001");
        // The password was right and all was relayed: PostgreSQL itself found him out.
        let events = world.events().await;
        let found_out = |body: &Body| matches!(body, Body::Session(Session::Lost { message, .. }) if message.contains("SQLSTATE 28000"));
        assert!(events.iter().any(|event| found_out(&event.body)), "{:?}", events.last());
        let chosen = chosen.lock().unwrap().clone();
        assert_eq!(chosen, [(mechanism.to_owned(), flag.to_owned())]);
    }
}
