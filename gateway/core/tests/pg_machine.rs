//! The session machine meets bytes that no peer should send: it never panics, and how they are cut does not matter.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests say what they expect by failing"
)]

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use gateway_core::masking::Masking;
use gateway_core::passage::{Bench, Scribe};
use gateway_core::pg::session::{
    AgentStep, Court, Ending, Limits, MAX_AWAITED, Machine, TargetStep, TimeLimit, Violation,
};
use gateway_core::sql::catalog::{CatalogRows, QUERIES};
use gateway_core::sql::{Catalog, SessionState};
use gateway_core::verdict::Judge;
use jiff::Timestamp;
use proptest::prelude::*;
use tallyport_access::Identity;
use tallyport_access::policy::{AskContext, PolicySet};
use tallyport_detect::{Cards, Rules, Screen};
use tallyport_eventlog::Auditable as _;
use tallyport_schemas::{
    AgentAttributes, AuthMethod, Body, Context, Principal, PrincipalKind, Recording, Response,
    ResponseStatus, SessionId, TargetKind, TargetRef,
};

fn bench() -> Arc<Bench> {
    static BENCH: OnceLock<Arc<Bench>> = OnceLock::new();
    Arc::clone(BENCH.get_or_init(new_bench))
}

const PERMIT: &str = "@id(\"all\") permit (principal, action, resource);";
fn new_bench() -> Arc<Bench> {
    let policy = Arc::new(PolicySet::parse(PERMIT, "test.cedar").unwrap());
    let identity = Identity {
        method: AuthMethod::Oidc,
        principal: Principal {
            issuer: "https://issuer.example".to_owned(),
            subject: "agent".to_owned(),
            display_name: "agent".to_owned(),
            kind: PrincipalKind::Agent,
            groups: Vec::new(),
            owner: None,
        },
        email: None,
        delegation: Vec::new(),
        agent: AgentAttributes::default(),
        scopes: Default::default(),
        expires_at: Timestamp::now(),
        token_id: None,
        key_id: None,
        binding: None,
    };
    let mut rows = CatalogRows::default();
    for query in QUERIES {
        let some =
            |texts: &[&str]| texts.iter().map(|text| Some((*text).to_owned())).collect::<Vec<_>>();
        let given = match query.name {
            "database" => vec![some(&["app", "gateway", "150000", "public"])],
            "path" => vec![some(&["pg_catalog"]), some(&["public"])],
            _ => Vec::new(),
        };
        rows.insert(query, given);
    }
    let catalog = Arc::new(Catalog::from_rows(rows).unwrap());
    let database = Some("app".to_owned());
    let target = TargetRef { name: "db".to_owned(), kind: TargetKind::Postgresql, database };
    let judge = Judge::new(
        policy.asker(&identity),
        &target,
        catalog,
        &Masking::default(),
        Recording::Full,
        &AskContext::at(Timestamp::now()),
    );
    Arc::new(Bench::new(judge, policy.asker(&identity), target, Recording::Full))
}

fn machine() -> Machine {
    let context = Context { session_id: Some(SessionId::new()), ..Context::default() };
    let settings = BTreeMap::from([
        ("client_encoding".to_owned(), "UTF8".to_owned()),
        ("standard_conforming_strings".to_owned(), "on".to_owned()),
    ]);
    let scribe = Scribe::new(context.into());
    Machine::new(Limits::default(), scribe, SessionState::new(vec!["public".to_owned()]), settings)
}

/// Feeds `input` from the agent in parts and says what came of it.
fn feed_agent(
    machine: &mut Machine,
    bench: &Arc<Bench>,
    input: &[u8],
    cuts: &[usize],
) -> Vec<String> {
    let asked = AskContext::at(Timestamp::now());
    let court = Court { bench, context: &asked, now_us: 0 };
    let mut steps = Vec::new();
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (input.len() + 1)).collect();
    cuts.push(input.len());
    cuts.sort_unstable();
    let mut from = 0;
    for cut in cuts {
        machine.agent_bytes(&input[from..cut]);
        from = cut;
        loop {
            match machine.agent_step(&court) {
                Ok(AgentStep::NeedMore) => break,
                Ok(AgentStep::Wait) => {
                    steps.push("wait".to_owned());
                    return steps;
                }
                Ok(AgentStep::Forward(forward)) => {
                    steps.push(format!("forward {}", forward.unit.wire_bytes()));
                    machine.forwarded(forward.after, 0).unwrap();
                }
                Ok(AgentStep::Refuse(refuse)) => {
                    steps.push("refuse".to_owned());
                    machine.noted(refuse.after, 0).unwrap();
                }
                Ok(AgentStep::Hold(_)) => {
                    steps.push("hold".to_owned());
                    return steps;
                }
                Err(violation) => {
                    steps.push(violation.to_string());
                    return steps;
                }
            }
        }
    }
    steps
}

fn frame(tag: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap().to_be_bytes();
    [&[tag][..], &length, body].concat()
}

/// Frames of known kinds with bodies that are sometimes right.
fn frames(tags: &'static [u8]) -> impl Strategy<Value = Vec<u8>> {
    let body = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..40),
        Just(b"SELECT 1\0".to_vec()),
        Just(b"\0SELECT 1\0\0\0".to_vec()),
        Just(b"\0\0\0\0\0\0\0\0".to_vec()),
        Just(b"\0\0\0\0\0".to_vec()),
        Just(b"P\0".to_vec()),
        Just(b"I".to_vec()),
        Just(Vec::new()),
    ];
    let one = (proptest::sample::select(tags), body).prop_map(|(tag, body)| frame(tag, &body));
    proptest::collection::vec(one, 0..12).prop_map(|frames| frames.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn how_an_agents_bytes_are_cut_does_not_matter(
        input in frames(b"QPBEDCSHXFdcfp?"),
        cuts in proptest::collection::vec(any::<usize>(), 0..8),
    ) {
        let bench = bench();
        let whole = feed_agent(&mut machine(), &bench, &input, &[]);
        let parts = feed_agent(&mut machine(), &bench, &input, &cuts);
        prop_assert_eq!(whole, parts);
    }

    #[test]
    fn garbage_of_an_agent_never_panics(input in proptest::collection::vec(any::<u8>(), 0..300)) {
        feed_agent(&mut machine(), &bench(), &input, &[]);
    }

    #[test]
    fn garbage_of_a_target_never_panics_and_the_end_is_always_on_record(
        asked in frames(b"QPBEDCSH"),
        answered in frames(b"123tTnDCIsEZSANGHdcRKWV?"),
    ) {
        let bench = bench();
        let mut machine = machine();
        feed_agent(&mut machine, &bench, &asked, &[]);
        machine.target_bytes(&answered);
        while let Ok(TargetStep::Batch(_)) = machine.target_step(1) {}
        let _batch = machine.flush();
        prop_assert!(machine.end(&Ending::Expired(TimeLimit::Token), true, 2).unwrap().is_some());
    }
}

/// The events of an end, as family and command.
fn last_events(machine: &mut Machine) -> Vec<(String, Option<ResponseStatus>)> {
    let mut last = machine.end(&Ending::Expired(TimeLimit::Token), false, 9).unwrap().unwrap();
    let said = |draft: tallyport_schemas::Draft| match &draft.body {
        Body::Response(response) => match response.as_ref() {
            Response::Completed(summary) => ("completed".to_owned(), Some(summary.status)),
            other => (format!("{other:?}"), None),
        },
        body => (body.activity().to_owned(), None),
    };
    last.take_drafts().into_iter().map(said).collect()
}

#[test]
fn an_answer_that_was_whole_but_not_sent_is_recorded_as_interrupted_however_often_the_end_is_tried()
{
    let bench = bench();
    let mut machine = machine();
    feed_agent(&mut machine, &bench, &frame(b'Q', b"SELECT 1\0"), &[]);
    machine.target_bytes(&[frame(b'C', b"SELECT 1\0"), frame(b'Z', b"I")].concat());
    assert!(matches!(machine.target_step(1), Ok(TargetStep::NeedMore)));
    assert!(machine.is_drained(), "the response is complete, and waits in the batch");
    let wanted =
        [("completed".to_owned(), Some(ResponseStatus::Interrupted)), ("expired".to_owned(), None)];
    assert_eq!(last_events(&mut machine), wanted);
    assert_eq!(last_events(&mut machine), wanted, "the first try was not committed");
}

#[test]
fn a_batch_that_is_thrown_away_leaves_no_hole_in_the_session() {
    let bench = bench();
    let mut machine = machine();
    let asked = AskContext::at(Timestamp::now());
    let court = Court { bench: &bench, context: &asked, now_us: 0 };
    machine.agent_bytes(&frame(b'Q', b"SELECT 1\0"));
    let Ok(AgentStep::Forward(mut forward)) = machine.agent_step(&court) else {
        panic!("it passes")
    };
    let before = forward.unit.take_drafts().len() as u64;
    machine.forwarded(forward.after, 0).unwrap();
    machine
        .target_bytes(&[frame(b'C', b"SELECT 1\0"), frame(b'Z', b"I"), frame(b'Z', b"I")].concat());
    assert!(machine.target_step(1).is_err(), "nothing asked for the second");
    let mut last = machine.end(&Ending::Expired(TimeLimit::Token), true, 2).unwrap().unwrap();
    let places: Vec<u64> =
        last.take_drafts().iter().map(|draft| draft.session_seq.unwrap()).collect();
    let dense: Vec<u64> = (before..before + places.len() as u64).collect();
    assert_eq!(places, dense);
}

#[test]
fn an_agent_that_asks_on_and_on_waits_for_answers() {
    let bench = bench();
    let mut machine = machine();
    let syncs = frame(b'S', b"").repeat(MAX_AWAITED + 1);
    let steps = feed_agent(&mut machine, &bench, &syncs, &[]);
    assert_eq!(steps.len(), MAX_AWAITED + 1);
    assert_eq!(steps.last().unwrap(), "wait");
    machine.target_bytes(&frame(b'Z', b"I").repeat(MAX_AWAITED));
    while let Ok(TargetStep::Batch(_)) = machine.target_step(1) {}
    assert!(machine.is_drained());
    assert_eq!(feed_agent(&mut machine, &bench, b"", &[]), ["forward 5"], "then it goes on");
}

/// A machine that looks for cards, with `action`, and has sent a statement by either protocol.
fn looking(action: &str, by_parse: bool) -> Machine {
    let rules = Rules::parse([("payment_card", action)]).unwrap();
    let screen = Screen::new(rules, Cards::Hidden).unwrap();
    let mut machine = machine().looking(Some(screen));
    let asked = if by_parse {
        let execute = [frame(b'E', b"\0\0\0\0\0"), frame(b'S', b"")].concat();
        [frame(b'P', b"\0SELECT 1\0\0\0"), frame(b'B', b"\0\0\0\0\0\0\0\0"), execute].concat()
    } else {
        frame(b'Q', b"SELECT 1\0")
    };
    feed_agent(&mut machine, &bench(), &asked, &[]);
    machine
}

/// What PostgreSQL answers: one row of these columns, each a type, a format and a value.
fn answer(columns: &[(u32, i16, Vec<u8>)], by_parse: bool) -> Vec<u8> {
    let count = u16::try_from(columns.len()).unwrap().to_be_bytes();
    let (mut described, mut row) = (count.to_vec(), count.to_vec());
    for (type_oid, format, value) in columns {
        described.extend([b"x\0".as_slice(), &[0; 6], &type_oid.to_be_bytes(), &[0; 6]].concat());
        described.extend(format.to_be_bytes());
        row.extend(u32::try_from(value.len()).unwrap().to_be_bytes());
        row.extend(value);
    }
    let before = if by_parse { [frame(b'1', b""), frame(b'2', b"")].concat() } else { Vec::new() };
    let rows = [frame(b'T', &described), frame(b'D', &row), frame(b'C', b"SELECT 1\0")].concat();
    [before, rows, frame(b'Z', b"I")].concat()
}

/// What passed, as it is on record, and the sums of the answer.
fn passed(machine: &mut Machine, input: &[u8], cuts: &[usize]) -> (Vec<u8>, Vec<Response>) {
    let (mut bytes, mut summaries) = (Vec::new(), Vec::new());
    let mut take = |mut batch: gateway_core::pg::session::MaskedResponse| {
        for draft in batch.take_drafts() {
            let Body::Response(response) = draft.body else { continue };
            let content = match response.as_ref() {
                Response::Chunk { content, .. } | Response::Unsolicited { content, .. } => content,
                Response::Completed(summary) => &summary.content,
            };
            bytes.extend(content.iter().flat_map(|content| content.replay().unwrap()));
            if matches!(*response, Response::Completed(_)) {
                summaries.push(*response);
            }
        }
    };
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (input.len() + 1)).collect();
    cuts.extend([0, input.len()]);
    cuts.sort_unstable();
    for part in cuts.windows(2) {
        machine.target_bytes(&input[part[0]..part[1]]);
        while let TargetStep::Batch(batch) = machine.target_step(1).unwrap() {
            take(batch);
        }
        machine.flush().unwrap().map(&mut take);
    }
    (bytes, summaries)
}

const CARD: &[u8] = b"4111111111111111";
fn columns() -> impl Strategy<Value = Vec<(u32, i16, Vec<u8>)>> {
    let binary = |element: u32, value: &[u8]| {
        let ints = [1, 0, element, 1, 1, u32::try_from(value.len()).unwrap()];
        [&ints.map(u32::to_be_bytes).concat()[..], value].concat()
    };
    let number = 4_111_111_111_111_111_i64.to_be_bytes().to_vec();
    let planted = vec![
        (25, 0, CARD.to_vec()),
        (1043, 1, b"card 4111 1111 1111 1111, paid".to_vec()),
        (3802, 1, [b"\x01[\"", CARD, b"\"]"].concat()),
        (1009, 0, [b"{a,", CARD, b"}"].concat()),
        (1009, 1, binary(25, CARD)),
        (1016, 1, binary(20, &number)),
        (1700, 0, [CARD, b".00"].concat()),
        (16_400, 0, CARD.to_vec()),
        (16_400, 1, CARD.to_vec()),
        (20, 1, number),
    ];
    let plain = vec![(25, 0, b"plain".to_vec()), (23, 1, vec![0, 0, 0, 7]), (17, 1, vec![0; 9])];
    let plain = || proptest::collection::vec(proptest::sample::select(plain.clone()), 0..4);
    (plain(), proptest::sample::select(planted), plain())
        .prop_map(|(before, card, after)| [before, vec![card], after].concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn nothing_of_a_card_reaches_the_agent(
        columns in columns(),
        by_parse in any::<bool>(),
        cuts in proptest::collection::vec(any::<usize>(), 0..6),
    ) {
        for action in ["mask", "deny"] {
            let mut machine = looking(action, by_parse);
            let (bytes, summaries) = passed(&mut machine, &answer(&columns, by_parse), &cuts);
            let lies = |part: &[u8]| bytes.windows(part.len()).any(|window| window == part);
            prop_assert!(!lies(b"1111") && !lies(&4_111_111_111_111_111_i64.to_be_bytes()));
            let Some(Response::Completed(summary)) = summaries.last() else { panic!("{summaries:?}") };
            prop_assert_eq!(summary.findings.len(), 1);
            prop_assert_eq!(summary.findings[0].action.as_str(), action);
            prop_assert_eq!(machine.take_cancel().is_some(), action == "deny");
            prop_assert_eq!(lies(b"\0C42501\0"), action == "deny");
            prop_assert_eq!(summary.rows, u64::from(action == "mask"));
        }
    }

    #[test]
    fn where_nothing_is_found_every_byte_is_as_it_came(
        columns in columns(),
        by_parse in any::<bool>(),
        cuts in proptest::collection::vec(any::<usize>(), 0..6),
    ) {
        let mut machine = looking("alert", by_parse);
        let input = answer(&columns, by_parse);
        let (bytes, _) = passed(&mut machine, &input, &cuts);
        // The description that the gateway asked for is not the agent's.
        let before = if by_parse { 10 } else { 0 };
        let length = u32::from_be_bytes(input[before + 1..before + 5].try_into().unwrap());
        let behind = if by_parse { before + 1 + length as usize } else { 0 };
        prop_assert!(bytes == [&input[..before], &input[behind..]].concat());
    }
}

#[test]
fn a_row_that_nothing_describes_ends_the_session_where_detectors_look() {
    let row = frame(b'D', b"\0\x01\0\0\0\x01x");
    let mut machine = looking("mask", true);
    machine.target_bytes(
        &[frame(b'1', b""), frame(b'2', b""), frame(b'n', b""), row.clone()].concat(),
    );
    assert!(matches!(machine.target_step(1), Err(Violation::RowWithoutDescription)));
    let mut machine = looking("mask", false);
    machine.target_bytes(&row);
    assert!(matches!(machine.target_step(1), Err(Violation::RowWithoutDescription)));
    let mut machine = looking("mask", false);
    let wider = frame(b'D', b"\0\x02\0\0\0\x01x\xff\xff\xff\xff");
    let described = answer(&[(25, 0, b"x".to_vec())], false);
    let length = u32::from_be_bytes(described[1..5].try_into().unwrap()) as usize;
    machine.target_bytes(&[&described[..=length], &wider].concat());
    assert!(matches!(machine.target_step(1), Err(Violation::RowDoesNotFit)));
}
