module github.com/sealyard/sealyard/bench/measure

go 1.26.8
