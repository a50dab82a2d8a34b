//! However much one caller asks for, others are answered.

use access::{Entry, Identity, Scope, Secret, render};
use futures::future::join_all;
use reqwest::{Method, StatusCode};
use serde_json::json;
use test_support::eventually;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::bed::{Bed, DEADLINE, Running};

const OWN: [Scope; 2] = [Scope::AlertsRead, Scope::AlertsWrite];

/// A service with the tokens of two tenants.
async fn start(bed: &Bed) -> (Running, String, String) {
    let token = |name: &str| {
        let secret = Secret::generate().unwrap();
        let entry = Entry::new(name, Identity::Token(secret.hash()), OWN.to_vec());
        (secret.expose().to_owned(), render(&entry))
    };
    let ((ann, a), (bob, b)) = (token("ann"), token("bob"));
    let file = bed.file("tokens.toml", &(a + &b));
    let service = bed.start_with(&[format!("auth.tokens_file={file}")]).await;
    (service, ann, bob)
}

/// The requests of a tenant wait for each other in the database, where each has a connection.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_that_wait_leave_the_database_to_others() {
    let bed = Bed::create(&[]).await;
    let (service, ann, bob) = start(&bed).await;
    let post = async |path: &str, body| {
        let answer = service.ask_as(Some(&ann), Method::POST, path, Some(body));
        answer.await
    };
    let channel = json!({"name": "c", "configuration": {"kind": "log"}});
    let (_, channel) = post("/v1/channels", channel).await;
    let rule = json!({"name": "r", "condition": {"kind": "external"}, "channels": [channel["id"]]});
    let (status, rule) = post("/v1/rules", rule).await;
    assert_eq!(status, StatusCode::CREATED, "{rule}");
    let pool = bed.pool().await;
    let mut holder = pool.begin().await.unwrap();
    sqlx::raw_sql("select from rules for update")
        .execute(&mut *holder)
        .await
        .unwrap();
    let alert = |n: usize| json!({"title": "t", "fingerprint": n.to_string()});
    let sending = join_all((0..20).map(|n| post("/v1/alerts", alert(n))));
    let others = async {
        let waiting = "select count(*) from pg_stat_activity where datname = current_database()
                           and wait_event_type = 'Lock'";
        eventually(DEADLINE, async || {
            let count: i64 = sqlx::query_scalar(waiting).fetch_one(&pool).await.unwrap();
            count > 0
        })
        .await;
        for _ in 0..20 {
            let path = "/v1/alerts";
            let asked = service.ask_as(Some(&bob), Method::GET, path, None).await;
            assert_eq!(asked.0, StatusCode::OK, "{asked:?}");
        }
        holder.rollback().await.unwrap();
    };
    let (sent, others) = tokio::join!(sending, timeout(DEADLINE, others));
    others.unwrap();
    for (status, body) in sent {
        // Who waits for too long is refused.
        let allowed = [StatusCode::OK, StatusCode::SERVICE_UNAVAILABLE];
        assert!(allowed.contains(&status), "{status} {body}");
    }
    service.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_streams_of_one_token_leave_places_to_others() {
    let bed = Bed::create(&[]).await;
    let (service, ann, bob) = start(&bed).await;
    let open = async |token: &str| {
        let path = "/v1/alerts/stream";
        let request = service.request(Method::GET, path).bearer_auth(token);
        request.send().await.unwrap()
    };
    let mut streams = Vec::new();
    for _ in 0..32 {
        let stream = open(&ann).await;
        assert_eq!(stream.status(), StatusCode::OK);
        streams.push(stream);
    }
    assert_eq!(open(&ann).await.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(open(&bob).await.status(), StatusCode::OK);
    streams.pop();
    eventually(DEADLINE, async || {
        open(&ann).await.status() == StatusCode::OK
    })
    .await;
    drop(streams);
    service.end().await;
}

/// Who still sends what is not wanted any more gets the answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_sends_twice_a_bound_gets_the_answer() {
    let bed = Bed::create(&[]).await;
    let (service, ann, _) = start(&bed).await;
    let address = service.url("").replace("http://", "");
    let body = vec![b'x'; 8 * 1024 * 1024];
    for (path, authorization, status) in [
        ("/v1/rules", format!("Bearer {ann}"), "413"),
        ("/v1/alertmanager", format!("Bearer {ann}"), "413"),
        ("/v1/alertmanager", "Bearer x".to_owned(), "401"),
        ("/nothing", format!("Bearer {ann}"), "404"),
    ] {
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\nauthorization: {authorization}\r\n\
             content-length: {}\r\n\r\n",
            body.len()
        );
        let mut connection = TcpStream::connect(&address).await.unwrap();
        connection.write_all(head.as_bytes()).await.unwrap();
        // All is sent before anything is read.
        connection.write_all(&body).await.unwrap();
        connection.shutdown().await.unwrap();
        let mut answer = String::new();
        let reading = timeout(DEADLINE, connection.read_to_string(&mut answer));
        reading.await.unwrap().unwrap();
        let expected = format!("HTTP/1.1 {status} ");
        assert!(answer.starts_with(&expected), "{path}: {answer}");
    }
    service.end().await;
}
