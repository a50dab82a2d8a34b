//! A connection whose client has only so long to take an answer.

use std::{
    future::Future,
    io::{self, IoSlice},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep},
};

/// So much of an answer is to be taken each time.
const PART_BYTES: usize = 1024 * 1024;

/// A connection that fails once its client was waited for too long, with an answer or a MiB of a larger one: a byte now
/// and then does not count as taking it. Time in which there is nothing to take does not count, as in a stream of events.
pub(crate) struct Patient<C> {
    inner: C,
    patience: Duration,
    progress: Progress,
    /// The one that the following is about.
    answer: u64,
    /// How much of a part was taken.
    taken: usize,
    /// How long the client was waited for with this part, up to the last time that it took something.
    waited: Duration,
    /// Since when it is waited for, and what ends that.
    waiting: Option<(Instant, Pin<Box<Sleep>>)>,
}

/// What a connection has come to. Clones are the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct Progress(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    answers_begun: AtomicU64,
    written_bytes: AtomicU64,
    /// A request is being answered, and its client is not waited for.
    is_answering: AtomicBool,
}

impl Progress {
    /// A request has come.
    pub(crate) fn ask(&self) {
        self.0.is_answering.store(true, Ordering::Relaxed);
    }

    /// Its answer begins, and with it the time for it.
    pub(crate) fn begin(&self) {
        self.0.is_answering.store(false, Ordering::Relaxed);
        self.0.answers_begun.fetch_add(1, Ordering::Relaxed);
    }

    /// Resolves once a client is waited for that has taken nothing during the grace.
    pub(crate) async fn stalled(&self, grace: Duration) {
        loop {
            let written = self.0.written_bytes.load(Ordering::Relaxed);
            sleep(grace).await;
            let is_answering = self.0.is_answering.load(Ordering::Relaxed);
            if !is_answering && self.0.written_bytes.load(Ordering::Relaxed) == written {
                return;
            }
        }
    }
}

impl<C> Patient<C> {
    pub(crate) fn new(inner: C, patience: Duration, progress: Progress) -> Self {
        Self {
            inner,
            patience,
            progress,
            answer: 0,
            taken: 0,
            waited: Duration::ZERO,
            waiting: None,
        }
    }

    /// What becomes of a write of which so many bytes were taken, if any.
    fn unless_late<T>(
        &mut self,
        context: &mut Context<'_>,
        polled: Poll<io::Result<T>>,
        taken: impl FnOnce(&T) -> usize,
    ) -> Poll<io::Result<T>> {
        let answer = self.progress.0.answers_begun.load(Ordering::Relaxed);
        if answer != self.answer {
            (self.answer, self.taken) = (answer, 0);
            (self.waited, self.waiting) = (Duration::ZERO, None);
        }
        match polled {
            Poll::Pending => {
                let left = self.patience.saturating_sub(self.waited);
                let begin = || (Instant::now(), Box::pin(sleep(left)));
                let (_, late) = self.waiting.get_or_insert_with(begin);
                match late.as_mut().poll(context) {
                    Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
                    Poll::Pending => Poll::Pending,
                }
            }
            Poll::Ready(Ok(written)) => {
                let bytes = taken(&written);
                let written_bytes = &self.progress.0.written_bytes;
                written_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
                self.taken += bytes;
                if let Some((since, _)) = self.waiting.take() {
                    self.waited += since.elapsed();
                }
                if self.taken >= PART_BYTES {
                    (self.taken, self.waited) = (0, Duration::ZERO);
                }
                Poll::Ready(Ok(written))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
        }
    }
}

impl<C: AsyncRead + Unpin> AsyncRead for Patient<C> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(context, buffer)
    }
}

impl<C: AsyncWrite + Unpin> AsyncWrite for Patient<C> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write(context, bytes);
        self.unless_late(context, written, |taken| *taken)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write_vectored(context, slices);
        self.unless_late(context, written, |taken| *taken)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.inner).poll_flush(context);
        self.unless_late(context, flushed, |()| 0)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let ended = Pin::new(&mut self.inner).poll_shutdown(context);
        self.unless_late(context, ended, |()| 0)
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
        time::interval,
    };

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(1);

    fn connection() -> (Patient<DuplexStream>, DuplexStream, Progress) {
        let (server, client) = duplex(1_000);
        let answers = Progress::default();
        let server = Patient::new(server, PATIENCE, answers.clone());
        (server, client, answers)
    }

    /// Takes so many bytes each twentieth of the patience.
    fn take(mut client: DuplexStream, bytes: usize) {
        tokio::spawn(async move {
            let mut turn = interval(PATIENCE / 20);
            let mut taken = vec![0; bytes];
            while client.read_exact(&mut taken).await.is_ok() {
                turn.tick().await;
            }
        });
    }

    #[tokio::test]
    async fn a_byte_now_and_then_is_not_taking_an_answer() {
        let (mut server, client, answers) = connection();
        take(client, 1);
        answers.begin();
        let began = Instant::now();
        let error = server.write_all(&[0; 10_000]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(began.elapsed() >= PATIENCE);
    }

    #[tokio::test]
    async fn a_large_answer_has_the_time_for_each_mebibyte() {
        let (mut server, client, answers) = connection();
        take(client, PART_BYTES / 8);
        answers.begin();
        let began = Instant::now();
        server.write_all(&vec![0; 4 * PART_BYTES]).await.unwrap();
        assert!(began.elapsed() > PATIENCE);
    }

    /// As a stream of events that comes to more than the client takes at once, now and then.
    #[tokio::test]
    async fn time_in_which_there_is_nothing_to_take_does_not_count() {
        let (mut server, mut client, answers) = connection();
        tokio::spawn(async move {
            let mut taken = [0; 1_500];
            loop {
                sleep(PATIENCE * 2 / 5).await;
                if client.read_exact(&mut taken).await.is_err() {
                    return;
                }
            }
        });
        answers.begin();
        server.write_all(&[0; 1_500]).await.unwrap();
        sleep(PATIENCE).await;
        server.write_all(&[0; 1_500]).await.unwrap();
        server.flush().await.unwrap();
    }

    #[tokio::test]
    async fn each_answer_has_its_own_time() {
        let (mut server, client, answers) = connection();
        take(client, 1_000);
        let began = Instant::now();
        for _ in 0..4 {
            answers.begin();
            server.write_all(&[0; 9_000]).await.unwrap();
        }
        assert!(began.elapsed() > PATIENCE);
    }
}
