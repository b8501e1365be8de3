use tallyport_eventlog::Auditable as _;
use tallyport_schemas::Context;

use super::*;
use crate::mcp::Screening;

fn answered(recording: Recording, context: &SharedContext) -> Answered<'_> {
    Answered { context, command_id: CommandId::new(), recording, duration_us: 5 }
}

fn screened(message: Value) -> Screened {
    Screening::default().screen(None, message)
}

/// Every byte of a long answer is on record, in order, and no more than one event may hold.
#[test]
fn a_long_answer_is_recorded_in_pieces() {
    let context = SharedContext::from(Context::default());
    let text = "x".repeat(2 * CHUNK_BYTES);
    let message = json!({ "jsonrpc": "2.0", "id": 1, "result": { "text": text } });
    for (recording, kept) in
        [(Recording::Full, true), (Recording::Digest, false), (Recording::Head(3), false)]
    {
        let mut reply = answered(recording, &context).reply(screened(message.clone())).unwrap();
        let mut bytes = Vec::new();
        let drafts = reply.take_drafts();
        assert_eq!(drafts.len(), 3);
        for draft in drafts {
            let Body::Response(event) = draft.body else { panic!("{draft:?}") };
            let content = match *event {
                ResponseEvent::Chunk { content, .. } => content,
                ResponseEvent::Completed(summary) => {
                    assert_eq!((summary.chunks, summary.status), (3, ResponseStatus::Ok));
                    assert_eq!(summary.bytes, reply.value.bytes.len() as u64);
                    summary.content
                }
                other => panic!("{other:?}"),
            };
            bytes.extend(content.map(|it| it.replay().unwrap()).unwrap_or_default());
        }
        assert_eq!(bytes == reply.value.bytes, kept, "{recording}");
    }
}

#[test]
fn what_a_server_says_aside_is_bounded_and_named() {
    let context = SharedContext::from(Context::default());
    let answered = answered(Recording::Full, &context);
    let message = json!({ "jsonrpc": "2.0", "method": "notifications/progress", "params": {} });
    let mut aside = answered.aside(screened(message)).unwrap();
    let drafts = aside.take_drafts();
    let Body::Response(event) = &drafts[0].body else { panic!("{drafts:?}") };
    assert!(
        matches!(&**event, ResponseEvent::Unsolicited { kinds, .. } if kinds == &["notifications/progress"])
    );
    let long = json!({ "method": "m", "params": { "text": "x".repeat(CHUNK_BYTES) } });
    assert!(answered.aside(screened(long)).is_err());
}
