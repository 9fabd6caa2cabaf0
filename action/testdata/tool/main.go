// Command tool is the one program in the images that the tests build.
package main

import (
	"fmt"
	"os"
	"strings"
	"time"
)

func main() {
	verb, words := os.Args[1], strings.Join(os.Args[2:], " ")
	switch verb {
	case "print": // with \n and \e in words made line breaks and escapes
		fmt.Println(strings.NewReplacer(`\n`, "\n", `\e`, "\x1b").Replace(words))
	case "write": // words, to the file /made
		if err := os.WriteFile("/made", []byte(words+"\n"), 0o644); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	case "show": // files
		for _, name := range os.Args[2:] {
			b, err := os.ReadFile(name)
			fmt.Println(string(b), err)
		}
	case "fail":
		fmt.Fprintln(os.Stderr, words)
		os.Exit(7)
	case "sleep": // words are a mark to find the process by
		time.Sleep(time.Hour)
	}
}
