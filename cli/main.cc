#include <iostream>

#include "cli/command.h"

int main(int argc, char** argv) {
  return moeplan::cli::run_program(argc, argv, moeplan::cli::Console{std::cout, std::cerr});
}
