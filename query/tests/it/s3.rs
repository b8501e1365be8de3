//! The lake in object storage.

use std::collections::HashMap;

use dev_services::{DevService, StartError};
use serde_json::json;
use tallyport_query::LakeConfig;

use crate::story;
use crate::world::{Setup, World};

#[tokio::test(flavor = "multi_thread")]
async fn a_lake_on_s3_is_read_like_one_on_disk() {
    let service = match tokio::task::spawn_blocking(|| DevService::start("s3", &[])).await.unwrap()
    {
        Ok(service) => service,
        Err(error @ StartError::NotInstallable { .. }) => {
            eprintln!("NOT RUN: a_lake_on_s3_is_read_like_one_on_disk: {error}");
            return;
        }
        Err(error) => panic!("{error}"),
    };
    let mut lake =
        LakeConfig::new(format!("s3://{}/audit", service.text("bucket")).parse().unwrap());
    lake.storage_options = HashMap::from([
        ("AWS_ENDPOINT_URL".to_owned(), service.text("endpoint").to_owned()),
        ("AWS_REGION".to_owned(), service.text("region").to_owned()),
        ("AWS_ACCESS_KEY_ID".to_owned(), service.text("access_key").to_owned()),
        ("AWS_SECRET_ACCESS_KEY".to_owned(), service.text("secret_key").to_owned()),
        ("AWS_ALLOW_HTTP".to_owned(), "true".to_owned()),
    ]);
    let world = World::with(Setup { lake: Some(lake), ..Setup::default() }).await;
    let (status, answer) = world.try_sql("auditor", "SELECT count(*) FROM commands").await;
    assert_eq!(
        (status, &answer["rows"]),
        (200, &json!([[0]])),
        "before the table exists: {answer}"
    );
    for draft in story::drafts() {
        world.commit(draft).await;
    }
    world.record(0, world.latest(0).await / 2).await;
    let found = async {
        loop {
            let sql =
                "SELECT count(*), count(DISTINCT log_offset) FROM events WHERE family = 'command'";
            let (status, answer) = world.try_sql("auditor", sql).await;
            assert_eq!((status, &answer["rows"]), (200, &json!([[5, 5]])), "{answer}");
            if answer["snapshot_version"] == 0 {
                break;
            }
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(30), found)
        .await
        .expect("the table is found");
    world.running.stop().await;
}
