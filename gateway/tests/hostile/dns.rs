//! A target whose name leads nowhere. Names that move, and resolvers that hang, are tested beside the code
//! (`gateway/src/upstream/resolve`), where the resolver can be a double.

use tallyport_gateway::connect::Transport;

use crate::harness::{Options, SOON};
use crate::stage::stage;
use crate::wire::{Wire, error_field, startup, tags};

#[tokio::test(flavor = "multi_thread")]
async fn a_target_whose_name_has_no_address_is_a_clear_error_in_time() {
    // RFC 6761 section 6.4: never anybody's.
    let nowhere = "name = 'nowhere'\naddress = 'db.invalid'\ndatabase = 'd'\nuser = 'u'\n";
    let options = Options { others: vec![nowhere.to_owned()], ..Options::default() };
    let stage = stage!(options, |_limits| {});
    stage
        .while_served(async {
            let began = std::time::Instant::now();
            let tunnel = stage.connector(Transport::Quic).open("nowhere").await.unwrap();
            let mut wire = Wire::new(tunnel);
            wire.send(&startup(&[("user", "u")])).await;
            let refused = wire.rest().await;
            assert_eq!(tags(&refused), "E");
            assert_eq!(error_field(&refused, b'C'), "08001");
            assert!(began.elapsed() < SOON);
        })
        .await;
    let message = stage.lost("target_unreachable").await;
    assert!(message.contains("cannot be reached") || message.contains("not ready"), "{message}");
}
