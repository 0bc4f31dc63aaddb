//! Separates a song with a file that onnx-demucs-compile wrote: MODEL.onnx SONG.wav OUTDIR [--overlap 0.25].
//!
//! The arithmetic is that of `onnx-demucs separate --float32`: the track is normalised, cut into segments that
//! overlap, and what the model makes of them is added up under triangular weights.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{env, fmt, fs, process};

use hound::{SampleFormat, WavReader, WavSpec, WavWriter};
use ort::session::Session;
use ort::value::TensorRef;

enum Error {
    Usage(String),
    Failure(String),
}

type Result<T> = std::result::Result<T, Error>;

fn failure(reason: impl fmt::Display) -> Error {
    Error::Failure(reason.to_string())
}

/// Samples of several channels, one channel after the other. Stems lie in it as channels too.
struct Audio {
    length: usize,
    samples: Vec<f32>,
}

impl Audio {
    fn silence(channels: usize, length: usize) -> Self {
        Audio { length, samples: vec![0.0; channels * length] }
    }

    fn channel(&self, index: usize) -> &[f32] {
        &self.samples[index * self.length..][..self.length]
    }

    fn channel_mut(&mut self, index: usize) -> &mut [f32] {
        &mut self.samples[index * self.length..][..self.length]
    }
}

/// A model, and what its metadata says of it.
struct Model {
    session: Session,
    name: String,
    sources: Vec<String>,
    sample_rate: u32,
    channels: usize,
    segment: usize,
    /// How many times each stem of a normalised track lacks the track's mean.
    means: Vec<f32>,
    /// Set where one run takes a whole track.
    track_overlap: Option<f64>,
}

impl Model {
    fn open(path: &Path) -> Result<Self> {
        if !path.is_file() {
            return Err(failure(format!("{}: no such file", path.display())));
        }
        let session = Session::builder()
            .map_err(failure)?
            .with_memory_pattern(false) // it holds every tensor's peak for the whole life of the session
            .map_err(failure)?
            // Numbers below 1.2e-38, of which attention makes many and which Intel's processors multiply slowly.
            .with_config_entry("session.set_denormal_as_zero", "1")
            .map_err(failure)?
            .commit_from_file(path)
            .map_err(failure)?;
        let metadata = session.metadata().map_err(failure)?;
        let property = |key: &str| {
            let lacks = || failure(format!("the model's metadata lacks {key}; compile it again"));
            metadata.custom(key).ok_or_else(lacks)
        };
        let number = |key: &str| match property(key)?.parse::<usize>() {
            Ok(value) if value > 0 => Ok(value),
            _ => Err(failure(format!("the model's metadata tells no {key}; compile a separator"))),
        };
        let names = |key: &str| serde_json::from_str::<Vec<String>>(&property(key)?).map_err(failure);

        if property("onnx_demucs.interface")? == "surrounded" {
            return Err(failure(
                "the model needs the song around each segment; compile it with --length segment",
            ));
        }
        if property("onnx_demucs.interface")? != "waveform" {
            return Err(failure(
                "the model leaves its STFT to the client; compile it with --interface waveform",
            ));
        }
        if metadata.custom("onnx_demucs.fade_step").is_some() {
            return Err(failure(
                "the segments of this model fade into each other; use onnx-demucs separate",
            ));
        }
        let batch = property("onnx_demucs.batch")?;
        if batch != "1" && batch != "dynamic" {
            return Err(failure(format!(
                "the model takes {batch} segments in a run; compile it with --batch 1"
            )));
        }
        let sources = names("sources")?;
        let mut means = vec![1.0; sources.len()];
        match property("onnx_demucs.other_method")?.as_str() {
            "" => {}
            "add" => means[1] = names("onnx_demucs.model_sources")?.len() as f32 - 1.0,
            _ => means[1] = 0.0,
        }
        let overlap = property("onnx_demucs.overlap")?;
        let track_overlap = if overlap.is_empty() { None } else { Some(overlap.parse().map_err(failure)?) };
        let name = property("onnx_demucs.model")?;
        let sample_rate = number("sample_rate")? as u32;
        let channels = number("audio_channels")?;
        let segment = number("onnx_demucs.segment")?;
        drop(metadata);
        Ok(Model { session, name, sources, sample_rate, channels, segment, means, track_overlap })
    }

    /// The stems of `mix`: of one segment, or of a track where the model takes tracks.
    fn run(&mut self, mix: &Audio) -> Result<Audio> {
        let mut shape = vec![self.channels, mix.length];
        if self.track_overlap.is_none() {
            shape.insert(0, 1);
        }
        let input = TensorRef::from_array_view((shape, mix.samples.as_slice())).map_err(failure)?;
        let outputs = self.session.run(ort::inputs![input]).map_err(failure)?;
        let (_, samples) = outputs[0].try_extract_tensor::<f32>().map_err(failure)?;
        if samples.len() != self.sources.len() * mix.samples.len() {
            return Err(failure("the model's output is not what its metadata describes; compile it again"));
        }
        Ok(Audio { length: mix.length, samples: samples.to_vec() })
    }
}

fn read_song(path: &Path, model: &Model) -> Result<Audio> {
    let shown = path.display();
    if !path.is_file() {
        return Err(failure(format!("{shown}: no such file")));
    }
    let unreadable = |error| failure(format!("{shown}: cannot be read as a wav file ({error})"));
    let mut reader = WavReader::open(path).map_err(unreadable)?;
    let spec = reader.spec();
    if spec.sample_rate != model.sample_rate {
        let (has, takes) = (spec.sample_rate, model.sample_rate);
        return Err(failure(format!(
            "{shown}: has {has} Hz, and the model takes {takes} Hz; resample it first"
        )));
    }
    let found = usize::from(spec.channels);
    if found > 1 && found < model.channels {
        let takes = model.channels;
        return Err(failure(format!("{shown}: has {found} channels, and the model takes {takes}")));
    }
    let full_scale = (1_u64 << (spec.bits_per_sample - 1)) as f32;
    let frames: std::result::Result<Vec<f32>, hound::Error> = match spec.sample_format {
        SampleFormat::Float => reader.samples::<f32>().collect(),
        SampleFormat::Int => reader.samples::<i32>().map(|sample| Ok(sample? as f32 / full_scale)).collect(),
    };
    let frames = frames.map_err(unreadable)?;
    if frames.is_empty() {
        return Err(failure(format!("{shown}: the file holds no audio (0 seconds)")));
    }
    if !frames.iter().all(|sample| sample.is_finite()) {
        return Err(failure(format!("{shown}: has samples that are not finite numbers")));
    }
    let mut song = Audio::silence(model.channels, frames.len() / found);
    for c in 0..model.channels {
        for (sample, frame) in song.channel_mut(c).iter_mut().zip(frames.chunks_exact(found)) {
            *sample = if model.channels == 1 {
                frame.iter().sum::<f32>() / found as f32
            } else {
                frame[c.min(found - 1)]
            };
        }
    }
    Ok(song)
}

/// Mean and unbiased deviation of the mono mix-down. A silent track can still be divided by the deviation.
fn statistics(track: &Audio, channels: usize) -> (f32, f32) {
    let mut mono = vec![0.0_f64; track.length];
    for c in 0..channels {
        for (sum, sample) in mono.iter_mut().zip(track.channel(c)) {
            *sum += f64::from(*sample) / channels as f64;
        }
    }
    let mean = mono.iter().sum::<f64>() / mono.len() as f64;
    let squares: f64 = mono.iter().map(|sample| (sample - mean).powi(2)).sum();
    let deviation = if mono.len() > 1 { (squares / (mono.len() - 1) as f64).sqrt() } else { 0.0 };
    (mean as f32, deviation as f32 + 1e-8)
}

fn separate(model: &mut Model, track: &Audio, overlap: f64) -> Result<Audio> {
    let (size, length) = (model.segment, track.length);
    let stride = ((1.0 - overlap) * size as f64) as usize;
    if stride == 0 {
        return Err(Error::Usage("such an overlap leaves no step between segments".into()));
    }
    let (mean, scale) = statistics(track, model.channels);
    let weight: Vec<f32> =
        (0..size).map(|i| (i + 1).min(size - i) as f32 / size.div_ceil(2) as f32).collect();

    let stems = model.sources.len() * model.channels;
    let mut sum = Audio::silence(stems, length);
    let mut weights = vec![0.0_f32; length];
    for start in (0..length).step_by(stride) {
        let covered = size.min(length - start);
        let before = (size - covered) / 2; // a window past the end is centred on what is left
        let (silent, first) = (before.saturating_sub(start), start.saturating_sub(before));
        let last = (start + size - before).min(length);
        let mut mix = Audio::silence(model.channels, size);
        for c in 0..model.channels {
            for (to, from) in mix.channel_mut(c)[silent..].iter_mut().zip(&track.channel(c)[first..last]) {
                *to = (from - mean) / scale;
            }
        }
        let estimate = model.run(&mix)?;
        for c in 0..stems {
            let estimated = &estimate.channel(c)[before..][..covered];
            for ((to, from), weight) in sum.channel_mut(c)[start..].iter_mut().zip(estimated).zip(&weight) {
                *to += weight * from;
            }
        }
        for (to, weight) in weights[start..].iter_mut().zip(&weight) {
            *to += weight;
        }
    }
    for c in 0..stems {
        let restored = mean * model.means[c / model.channels];
        for (sample, weight) in sum.channel_mut(c).iter_mut().zip(&weights) {
            *sample = *sample / weight * scale + restored;
        }
    }
    Ok(sum)
}

/// A folder that is gone again however this ends.
struct ScratchFolder(PathBuf);

impl ScratchFolder {
    fn inside(parent: &Path) -> Result<Self> {
        let path = parent.join(format!(".separate-{}", process::id()));
        fs::create_dir_all(&path).map_err(|error| failure(format!("{}: {error}", path.display())))?;
        Ok(ScratchFolder(path))
    }
}

impl Drop for ScratchFolder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Writes one stem as 32-bit float, rescaled where it would clip.
fn write_stem(path: &Path, stems: &Audio, stem: usize, model: &Model) -> Result<()> {
    let planes: Vec<&[f32]> = (0..model.channels).map(|c| stems.channel(stem * model.channels + c)).collect();
    if !planes.iter().all(|plane| plane.iter().all(|sample| sample.is_finite())) {
        return Err(failure("the model made samples that are not finite numbers"));
    }
    let peak =
        planes.iter().flat_map(|plane| plane.iter()).fold(0.0_f32, |most, sample| most.max(sample.abs()));
    let divisor = (1.01 * peak).max(1.0);
    let spec = WavSpec {
        channels: model.channels as u16,
        sample_rate: model.sample_rate,
        bits_per_sample: 32,
        sample_format: SampleFormat::Float,
    };
    let unwritable = |error| failure(format!("{}: cannot be written ({error})", path.display()));
    let mut writer = WavWriter::create(path, spec).map_err(unwritable)?;
    for i in 0..stems.length {
        for plane in &planes {
            writer.write_sample(plane[i] / divisor).map_err(unwritable)?;
        }
    }
    writer.finalize().map_err(unwritable)
}

/// A name that any file system takes as one component of a path.
fn safe_name(name: &str) -> String {
    let safe =
        |letter: char| if letter.is_alphanumeric() || "_.=+ -".contains(letter) { letter } else { '_' };
    let name: String = name.chars().map(safe).collect();
    match name.trim_start_matches('.') {
        "" => "_".into(),
        name => name.into(),
    }
}

fn parse() -> Result<(Vec<PathBuf>, Option<f64>)> {
    let (mut paths, mut overlap) = (Vec::new(), None);
    let mut arguments = env::args_os().skip(1);
    while let Some(argument) = arguments.next() {
        if argument == "--overlap" {
            let value = arguments.next().and_then(|text| text.to_str()?.parse().ok());
            let valid = value.filter(|value| (0.0..1.0).contains(value));
            overlap =
                Some(valid.ok_or(Error::Usage("--overlap takes a number, at least 0 and below 1".into()))?);
        } else if argument.to_string_lossy().starts_with("--") {
            return Err(Error::Usage(format!("no such option: {}", argument.to_string_lossy())));
        } else {
            paths.push(PathBuf::from(argument));
        }
    }
    if paths.len() != 3 {
        return Err(Error::Usage("usage: separate MODEL.onnx SONG.wav OUTDIR [--overlap 0.25]".into()));
    }
    Ok((paths, overlap))
}

fn run() -> Result<()> {
    let (paths, overlap) = parse()?;
    let song = &paths[1];
    let mut model = Model::open(&paths[0])?;
    if overlap.is_some() && model.track_overlap.is_some() && overlap != model.track_overlap {
        let advice = "this model takes whole tracks with an overlap built in; leave --overlap out";
        return Err(Error::Usage(advice.into()));
    }
    let track = read_song(song, &model)?;
    let folder = paths[2].join(safe_name(&model.name)).join(song.file_stem().unwrap_or_default());
    let scratch = ScratchFolder::inside(&folder)?;
    let stems = match model.track_overlap {
        Some(_) => model.run(&track)?,
        None => separate(&mut model, &track, overlap.unwrap_or(0.25))?,
    };
    let files: Vec<String> = model.sources.iter().map(|source| safe_name(source) + ".wav").collect();
    for (stem, file) in files.iter().enumerate() {
        let target = fs::canonicalize(folder.join(file));
        if target.is_ok_and(|target| fs::canonicalize(song).is_ok_and(|song| song == target)) {
            return Err(failure(format!("{}: a stem would overwrite the song itself", song.display())));
        }
        write_stem(&scratch.0.join(file), &stems, stem, &model)?;
    }
    for file in files {
        fs::rename(scratch.0.join(&file), folder.join(&file)).map_err(failure)?;
        println!("{}", folder.join(&file).display());
    }
    Ok(())
}

fn main() -> ExitCode {
    let (message, code) = match run() {
        Ok(()) => return ExitCode::SUCCESS,
        Err(Error::Usage(message)) => (message, 2),
        Err(Error::Failure(message)) => (message, 1),
    };
    eprintln!("error: {}", message.replace('\n', " "));
    ExitCode::from(code)
}
