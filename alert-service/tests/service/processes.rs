//! A service that is a process of its own, and is killed (SIGKILL) at random.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use chrono::TimeDelta;
use event_stream::{StreamConfig, serve};
use rand::{Rng, SeedableRng, rngs::StdRng};
use tokio::{net::TcpListener, sync::oneshot, time::timeout};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use crate::{
    bed::{Bed, DEADLINE},
    receiver::Receiver,
    teams::{every_delivery_arrived, make_teams, publish},
};

/// For so long services are started and killed, and longer on a machine where a start takes seconds.
const KILLING: Duration = Duration::from_secs(15);
const KILLS_MIN: u32 = 3;
const READY: &str = "alert service is ready";

/// A process that is killed when it is dropped.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Process {
    fn start(settings: &[String]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_alert-service"));
        command.arg("serve");
        for setting in settings {
            command.args(["--set", setting]);
        }
        command.stdout(Stdio::piped()).stderr(Stdio::null());
        Self(command.spawn().unwrap())
    }

    /// Waits until it serves.
    async fn ready(&mut self) {
        let output = BufReader::new(self.0.stdout.take().unwrap());
        let (ready, is_ready) = oneshot::channel();
        std::thread::spawn(move || {
            let mut lines = output.lines().map_while(Result::ok);
            if lines.any(|line| line.contains(READY)) {
                let _ = ready.send(());
            }
            // What it says later is of no interest, but it must be able to say it.
            lines.for_each(drop);
        });
        // An error: it ended before it was ready.
        timeout(DEADLINE, is_ready).await.unwrap().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_is_killed_again_and_again_loses_nothing_and_mixes_nothing_up() {
    let settings = [
        "deliveries.retry_base_milliseconds=20",
        "deliveries.retry_max_seconds=1",
        "deliveries.pause_max_seconds=1",
    ];
    let bed = Bed::create(&settings).await;
    let receiver = Receiver::start(|number| if number % 3 == 0 { 503 } else { 200 }).await;
    let file = make_teams(&bed, &receiver).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let source = format!(
        "consumer.sources=threshold-engine=http://{}",
        listener.local_addr().unwrap()
    );
    let log = serve(
        listener,
        bed.log.clone(),
        StreamConfig::default(),
        CancellationToken::new(),
    );
    let _log = AbortOnDropHandle::new(tokio::spawn(log));
    let mut settings = bed.settings();
    settings.extend([source, file]);

    let mut random = StdRng::seed_from_u64(17);
    let (mut published, mut kills) = (0, 0);
    let begun = Instant::now();
    while kills < KILLS_MIN || begun.elapsed() < KILLING {
        let mut process = Process::start(&settings);
        // Now and then it is killed while it starts.
        if random.random_range(0..4) > 0 {
            process.ready().await;
        }
        let until = random.random_range(0..400);
        let publishing = async {
            loop {
                // What is given up may be stored all the same.
                published += 1;
                publish(&bed, published).await;
            }
        };
        let _ = timeout(Duration::from_millis(until), publishing).await;
        drop(process);
        kills += 1;
    }
    // What was under way is leased for half a minute.
    bed.move_clock(TimeDelta::seconds(30));
    let service = bed.start().await;
    bed.processed().await;
    every_delivery_arrived(&bed, &receiver).await;
    service.end().await;
}
