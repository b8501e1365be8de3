//! With a permissive policy and no masks the agent gets, byte for byte, what PostgreSQL sends.

use tokio::net::TcpStream;

use crate::harness::world;
use crate::wire::{
    Message, Wire, bind, close, describe, execute, flush, frame, parse, query, sync, tags,
};

/// What is sent, and how many ReadyForQuery end its answer.
struct Case {
    name: &'static str,
    send: Vec<u8>,
    ready: usize,
}

fn case(name: &'static str, send: &[Vec<u8>], ready: usize) -> Case {
    Case { name, send: send.concat(), ready }
}

fn simple() -> Vec<Case> {
    vec![
        case("select", &[query("SELECT * FROM app.customers ORDER BY id")], 1),
        case("empty query", &[query("")], 1),
        case("many statements", &[query("SELECT 1; SELECT 2; SELECT 3")], 1),
        case("error in the middle", &[query("SELECT 1; SELECT 1/0; SELECT 2")], 1),
        case("error with fields", &[query("SELECT * FROM app.no_such_table")], 1),
        case("constraint error", &[query("INSERT INTO app.customers VALUES (1, 'x')")], 1),
        case("notice", &[query("SELECT app.shout('hello')")], 1),
        case("warning", &[query("COMMIT")], 1),
        case(
            "parameter status",
            &[query("SET application_name = 'renamed'"), query("RESET application_name")],
            2,
        ),
        case(
            "time zone",
            &[query("SET TimeZone = 'Asia/Tokyo'; SELECT now() > 'epoch'; RESET TimeZone")],
            1,
        ),
        case(
            "transaction",
            &[
                query("BEGIN"),
                query("SELECT 1"),
                query("SELECT 1/0"),
                query("SELECT 2"),
                query("ROLLBACK"),
            ],
            5,
        ),
        case(
            "cursor",
            &[query(
                "BEGIN; DECLARE c CURSOR FOR SELECT * FROM generate_series(1, 10); FETCH 3 FROM c; MOVE 2 IN c; FETCH ALL FROM c; CLOSE c; COMMIT",
            )],
            1,
        ),
        case(
            "sql prepare",
            &[query("PREPARE q (int) AS SELECT $1 + 1; EXECUTE q(41); DEALLOCATE q")],
            1,
        ),
        case("one megabyte", &[query("SELECT repeat('x', 1048576)")], 1),
        case(
            "larger than a message may be when read whole",
            &[query("SELECT repeat('y', 20000000)")],
            1,
        ),
        case(
            "a hundred thousand rows",
            &[query("SELECT g, 'row ' || g FROM generate_series(1, 100000) g")],
            1,
        ),
        case(
            "many columns and nulls",
            &[query("SELECT NULL, '', 1.5, true, '{1,2}'::int[], '\\x00ff'::bytea, NULL::json")],
            1,
        ),
        case("unicode", &[query("SELECT 'Zürich \u{1F512}' AS \"größe\"")], 1),
        case("do", &[query("DO $$ BEGIN RAISE NOTICE 'one'; RAISE WARNING 'two'; END $$")], 1),
        case(
            "explain",
            &[query("EXPLAIN (COSTS OFF) SELECT * FROM app.customers WHERE id = 1")],
            1,
        ),
    ]
}

fn extended() -> Vec<Case> {
    let series = |text: &str, parameters: &[Option<&str>], format: u16| {
        [
            parse("", text),
            bind("", "", parameters, format),
            describe(b'P', ""),
            execute("", 0),
            sync(),
        ]
        .concat()
    };
    vec![
        case("text results", &[series("SELECT * FROM app.customers ORDER BY id", &[], 0)], 1),
        case("binary results", &[series("SELECT * FROM app.customers ORDER BY id", &[], 1)], 1),
        case(
            "parameters",
            &[series("SELECT $1::int + $2::int, $3::text", &[Some("1"), Some("2"), None], 1)],
            1,
        ),
        case("parse error", &[series("SELECT no_such_column", &[], 0)], 1),
        case("bind error", &[series("SELECT $1::int", &[Some("abc")], 0)], 1),
        case("execute error", &[series("SELECT 1/$1::int", &[Some("0")], 0)], 1),
        case("empty", &[series("", &[], 0)], 1),
        case("no data", &[series("SET extra_float_digits = 1", &[], 0)], 1),
        case(
            "named",
            &[
                parse("one", "SELECT $1::text"),
                describe(b'S', "one"),
                sync(),
                bind("", "one", &[Some("a")], 0),
                execute("", 0),
                sync(),
                bind("", "one", &[Some("b")], 1),
                execute("", 0),
                close(b'S', "one"),
                sync(),
                bind("", "one", &[Some("c")], 0),
                execute("", 0),
                sync(),
            ],
            4,
        ),
        case(
            "defined twice",
            &[
                parse("two", "SELECT 1"),
                sync(),
                parse("two", "SELECT 2"),
                sync(),
                bind("", "two", &[], 0),
                execute("", 0),
                sync(),
                close(b'S', "two"),
                sync(),
            ],
            4,
        ),
        case(
            "portal in parts",
            &[
                query("BEGIN"),
                parse("", "SELECT generate_series(1, 7)"),
                bind("p", "", &[], 0),
                execute("p", 3),
                execute("p", 3),
                execute("p", 3),
                close(b'P', "p"),
                sync(),
                query("COMMIT"),
            ],
            3,
        ),
        case(
            "pipeline with an error",
            &[
                parse("", "SELECT 1"),
                bind("", "", &[], 0),
                execute("", 0),
                parse("", "SELECT 1/0"),
                bind("", "", &[], 0),
                execute("", 0),
                parse("", "SELECT 3"),
                bind("", "", &[], 0),
                execute("", 0),
                sync(),
                query("SELECT 4"),
            ],
            2,
        ),
        case(
            "many syncs at once",
            &(0..100).map(|_| series("SELECT 1", &[], 0)).collect::<Vec<_>>(),
            100,
        ),
        case(
            "flush",
            &[
                parse("", "SELECT 1"),
                flush(),
                bind("", "", &[], 0),
                flush(),
                execute("", 0),
                flush(),
                sync(),
            ],
            1,
        ),
        case("sync alone", &[sync(), sync()], 2),
        case("close of nothing", &[close(b'S', "nobody"), close(b'P', "nobody"), sync()], 1),
        case(
            "unknown names",
            &[describe(b'S', "nobody"), sync(), describe(b'P', "nobody"), sync()],
            2,
        ),
        case(
            "long pipeline without a sync",
            &{
                // Each text is long, so that the pipeline is cut into several units.
                let text = format!("SELECT repeat('z', 2000) -- {}", "x".repeat(4000));
                let one = [parse("", &text), bind("", "", &[], 0), execute("", 0)].concat();
                let mut all = vec![one; 600];
                all.push(sync());
                all
            },
            1,
        ),
    ]
}

fn copy() -> Vec<Case> {
    let data = |text: &str| frame(b'd', text.as_bytes());
    let done = frame(b'c', &[]);
    vec![
        case(
            "copy out",
            &[query("COPY (SELECT g, 'x' || g FROM generate_series(1, 5000) g) TO STDOUT")],
            1,
        ),
        case("copy out binary", &[query("COPY app.customers TO STDOUT (FORMAT binary)")], 1),
        case(
            "copy in",
            &[
                query("COPY app.things FROM STDIN"),
                data("1\tone\n2\ttwo\n"),
                data("3\tthr"),
                data("ee\n"),
                done.clone(),
                query("SELECT * FROM app.things ORDER BY id"),
                query("TRUNCATE app.things"),
            ],
            3,
        ),
        case(
            "copy in fails",
            &[
                query("COPY app.things FROM STDIN"),
                frame(b'f', b"changed my mind\0"),
                query("SELECT count(*) FROM app.things"),
            ],
            2,
        ),
        case(
            "copy in bad data",
            &[
                query("COPY app.things FROM STDIN"),
                data("not a number\tx\n"),
                done.clone(),
                query("SELECT 1"),
            ],
            2,
        ),
        case(
            "copy in, extended",
            &[
                parse("", "COPY app.things FROM STDIN"),
                bind("", "", &[], 0),
                execute("", 0),
                sync(),
                data("7\tseven\n"),
                done.clone(),
                sync(),
                query("TRUNCATE app.things"),
            ],
            2,
        ),
        case(
            "copy in of no table",
            &[query("COPY app.no_such FROM STDIN"), data("1\n"), done, query("SELECT 1")],
            2,
        ),
    ]
}

async fn run<S>(wire: &mut Wire<S>, case: &Case) -> Vec<Message>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    wire.send(&case.send).await;
    wire.until(b'Z', case.ready).await
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_byte_for_byte_those_of_postgresql() {
    let world = world!();
    let parameters = [("user", "postgres"), ("database", "postgres"), ("client_encoding", "UTF8")];
    let socket = TcpStream::connect(("127.0.0.1", world.postgres.port("port"))).await.unwrap();
    let (mut direct, hello_direct) = Wire::start(socket, &parameters).await;
    let (mut through, hello_through) = Wire::start(world.tunnel().await, &parameters).await;
    let without_key =
        |hello: Vec<Message>| hello.into_iter().filter(|(tag, _)| *tag != b'K').collect::<Vec<_>>();
    assert_eq!(without_key(hello_through), without_key(hello_direct));

    for case in simple().into_iter().chain(extended()).chain(copy()) {
        let expected = run(&mut direct, &case).await;
        let got = run(&mut through, &case).await;
        assert_eq!(
            tags(&got).len(),
            tags(&expected).len(),
            "{}: {:.200} instead of {:.200}",
            case.name,
            tags(&got),
            tags(&expected)
        );
        for (got, expected) in got.iter().zip(&expected) {
            assert!(
                got == expected,
                "{}: `{}` {:?} instead of `{}` {:?}",
                case.name,
                char::from(got.0),
                String::from_utf8_lossy(&got.1[..got.1.len().min(300)]),
                char::from(expected.0),
                String::from_utf8_lossy(&expected.1[..expected.1.len().min(300)])
            );
        }
    }
}
