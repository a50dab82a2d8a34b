use std::time::Duration;

use secrecy::SecretString;

/// How FRED is asked.
#[derive(Debug, Clone)]
pub struct FredConfig {
    /// Where the API is, without a slash at the end; the paths `/series`, … follow.
    pub base_url: String,
    /// The key, 32 lower-case letters and digits.
    pub api_key: SecretString,
    /// Time between two requests with the same key, whichever collector makes them. FRED's firewall
    /// refuses a third request within a second.
    pub request_interval: Duration,
    /// At most this long for one request, from connecting to the end of the answer.
    pub request_timeout: Duration,
    /// At most this many requests for one answer.
    pub attempts_max: u32,
    /// The wait before the second attempt, without jitter; it doubles with each further one.
    pub backoff_min: Duration,
    /// At most this long between attempts, also if FRED asks for more.
    pub backoff_max: Duration,
    /// At most this many bytes of an answer, decompressed.
    pub answer_bytes_max: usize,
    /// At most this many rows of one collection, whatever the number of its answers; they are held in
    /// memory, some 150 bytes each. GDP with all its vintages has some 20,000.
    pub rows_max: usize,
    /// At most this long for one collection, whatever the number of its requests.
    pub collection_timeout: Duration,
    /// Rows asked for at once; FRED gives 100,000 at most.
    pub observations_page_rows: usize,
    /// Vintage dates asked for at once; FRED gives 10,000 at most.
    pub vintage_dates_page_rows: usize,
    /// After so many calls in a row that FRED could not answer, none is made for a while.
    pub circuit_failures_max: u32,
    /// How long that while is.
    pub circuit_cool_down: Duration,
}

impl FredConfig {
    /// The real API, at the pace it allows.
    pub fn new(api_key: SecretString) -> Self {
        Self {
            base_url: "https://api.stlouisfed.org/fred".to_owned(),
            api_key,
            request_interval: Duration::from_millis(510),
            request_timeout: Duration::from_secs(30),
            attempts_max: 5,
            backoff_min: Duration::from_secs(1),
            backoff_max: Duration::from_secs(60),
            answer_bytes_max: 32 * 1024 * 1024,
            rows_max: 1_000_000,
            collection_timeout: Duration::from_secs(1_800),
            observations_page_rows: 100_000,
            vintage_dates_page_rows: 10_000,
            circuit_failures_max: 3,
            circuit_cool_down: Duration::from_secs(60),
        }
    }
}
