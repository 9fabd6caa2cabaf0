// Command tool is the only program in the images that the tests build.
package main

import (
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"golang.org/x/crypto/ssh/agent"
)

func main() {
	if err := run(os.Args[1], os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(7)
	}
}

func run(verb string, args []string) error {
	switch verb {
	case "write": // file, words
		return os.WriteFile(args[0], []byte(strings.Join(args[1:], " ")), 0o644)
	case "copy": // from, to
		data, err := os.ReadFile(args[0])
		if err != nil {
			return err
		}
		return os.WriteFile(args[1], data, 0o644)
	case "env": // name, file
		return os.WriteFile(args[1], []byte(os.Getenv(args[0])), 0o644)
	case "fail":
		fmt.Fprintln(os.Stderr, "first line of output")
		return fmt.Errorf("%s", strings.Join(args, " "))
	case "stamp": // a file that differs each time it is made
		return os.WriteFile(args[0], []byte(time.Now().String()), 0o644)
	case "sleep":
		fmt.Println("sleeping")
		time.Sleep(time.Hour)
		return nil
	case "agent": // writes the comments of the keys that the agent holds
		conn, err := net.Dial("unix", os.Getenv("SSH_AUTH_SOCK"))
		if err != nil {
			return err
		}
		keys, err := agent.NewClient(conn).List()
		if err != nil {
			return err
		}
		var comments []string
		for _, k := range keys {
			comments = append(comments, k.Comment)
		}
		return os.WriteFile(args[0], []byte(strings.Join(comments, ",")), 0o644)
	case "links": // network interfaces
		links, err := net.Interfaces()
		if err != nil {
			return err
		}
		return os.WriteFile(args[0], fmt.Appendf(nil, "%d", len(links)), 0o644)
	}
	return fmt.Errorf("unknown verb %q", verb)
}
