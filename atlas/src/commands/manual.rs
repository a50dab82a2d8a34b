//! `atlas completions` and `atlas man`: what shells and manuals need to know of the commands.

use std::path::Path;

use clap_complete::Shell;

use crate::{arguments, client::failure::Failure, print::output::Output};

pub(crate) fn completions(shell: Shell, output: &mut Output) -> Result<(), Failure> {
    let mut command = arguments::command();
    let name = command.get_name().to_owned();
    clap_complete::generate(shell, &mut command, name, output.writer());
    Ok(())
}

pub(crate) fn pages(folder: &Path, output: &mut Output) -> Result<(), Failure> {
    clap_mangen::generate_to(arguments::command(), folder)?;
    output.line(format_args!(
        "wrote the pages; read them with: man -l {}/atlas.1",
        folder.display()
    ))?;
    Ok(())
}
