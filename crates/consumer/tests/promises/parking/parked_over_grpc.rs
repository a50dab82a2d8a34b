//! Parked events as operators see them over gRPC.

use atlas_events::{
    DiscardParkedEventsRequest, ListParkedEventsRequest, ParkedEventFilter, ParkedEventState,
    RetryParkedEventsRequest, event::Payload, parked_events_client::ParkedEventsClient,
};
use consumer::ParkedEventsService;
use pbjson_types::Value;
use test_support::{custom_event, draft};
use tokio::net::TcpListener;
use tonic::{
    Code,
    transport::{Server, server::TcpIncoming},
};

use crate::parking::promise_7_parked::without;
use crate::support::{
    common::{Bench, Form, Run, all},
    handler::{Fault, Faults},
};

/// A client of the parked events of a running consumer.
async fn client(run: &Run) -> ParkedEventsClient<tonic::transport::Channel> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = Server::builder().add_service(ParkedEventsService::server(run.admin.clone()));
    tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
    ParkedEventsClient::connect(url).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn parked_events_are_listed_retried_and_discarded_over_grpc() {
    let bench = Bench::create(Form::InProcess).await;
    bench.served.append(0..50).await;
    let planned: Vec<_> = (1..=10)
        .map(|position| (position, Fault::Permanent))
        .collect();
    let faults = Faults::at(&planned);
    let run = bench.run(&faults).await;
    bench.until_position(50).await;
    let mut client = client(&run).await;

    let mut request = ListParkedEventsRequest {
        page_size: 4,
        ..ListParkedEventsRequest::default()
    };
    let mut listed = Vec::new();
    loop {
        let page = client
            .list_parked_events(request.clone())
            .await
            .unwrap()
            .into_inner();
        listed.extend(page.parked_events);
        if page.next_after_id == 0 {
            break;
        }
        request.after_id = page.next_after_id;
    }
    let positions: Vec<_> = listed
        .iter()
        .map(|parked| parked.event.as_ref().unwrap().position)
        .collect();
    assert_eq!(positions, all(10));
    assert_eq!(listed[0].handler, "ThresholdEngine");
    assert_eq!(listed[0].state(), ParkedEventState::Parked);

    let filter = |ids: &[u64]| {
        let ids = ids.to_vec();
        Some(ParkedEventFilter {
            ids,
            ..ParkedEventFilter::default()
        })
    };
    let wait = Some(pbjson_types::Duration {
        seconds: 30,
        nanos: 0,
    });
    faults.mend();
    let request = RetryParkedEventsRequest {
        filter: filter(&[listed[2].id]),
        wait,
    };
    let retried = client
        .retry_parked_events(request)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        (retried.marked, retried.resolved, retried.failed),
        (1, 1, 0)
    );
    let request = DiscardParkedEventsRequest {
        filter: filter(&[listed[2].id, listed[3].id]),
    };
    let discarded = client
        .discard_parked_events(request)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(discarded.discarded, 1);
    // What was given up is not retried with the rest.
    let request = RetryParkedEventsRequest {
        filter: Some(ParkedEventFilter::default()),
        wait,
    };
    let retried = client
        .retry_parked_events(request)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        (retried.marked, retried.resolved, retried.failed),
        (8, 8, 0)
    );
    run.stop().await;
    let mut effects = bench.effects().await;
    effects.sort_unstable();
    assert_eq!(effects, without(50, &[4]));
}

/// Clients take 4 MiB in one answer unless they set another limit, and an event may have one.
#[tokio::test(flavor = "multi_thread")]
async fn large_parked_events_come_in_pages_that_a_client_takes() {
    let bench = Bench::create(Form::InProcess).await;
    for n in 0..6 {
        let mut event = custom_event(n);
        if let Some(Payload::Custom(custom)) = &mut event.payload {
            let data = custom.data.as_mut().unwrap();
            let text = Value::from("x".repeat(900_000));
            data.fields.insert("text".to_owned(), text);
        }
        bench.served.log.append(vec![draft(event)]).await.unwrap();
    }
    let planned: Vec<_> = (1..=6)
        .map(|position| (position, Fault::Permanent))
        .collect();
    let run = bench.run(&Faults::at(&planned)).await;
    bench.until_position(6).await;
    let mut client = client(&run).await;
    let mut request = ListParkedEventsRequest::default();
    let mut pages = Vec::new();
    loop {
        let page = client.list_parked_events(request.clone()).await;
        let page = page.unwrap().into_inner();
        let events = page.parked_events.iter().map(|parked| &parked.event);
        let positions = events.map(|event| event.as_ref().unwrap().position);
        pages.push(positions.collect::<Vec<_>>());
        if page.next_after_id == 0 {
            break;
        }
        request.after_id = page.next_after_id;
    }
    assert_eq!(pages, [[1, 2, 3], [4, 5, 6]]);
    run.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_request_about_parked_events_names_its_field() {
    let bench = Bench::create(Form::InProcess).await;
    let run = bench.run(&Faults::none()).await;
    let mut client = client(&run).await;
    let request = DiscardParkedEventsRequest { filter: None };
    let status = client.discard_parked_events(request).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(
        status.message().starts_with("filter: is required"),
        "{status}"
    );
    let request = ListParkedEventsRequest {
        page_size: 1_001,
        ..Default::default()
    };
    let status = client.list_parked_events(request).await.unwrap_err();
    assert!(status.message().starts_with("page_size"), "{status}");
    let filter = Some(ParkedEventFilter {
        states: vec![9],
        ..Default::default()
    });
    let request = RetryParkedEventsRequest { filter, wait: None };
    let status = client.retry_parked_events(request).await.unwrap_err();
    assert!(status.message().starts_with("filter.states"), "{status}");
    run.stop().await;
}
